/** What is measured: something that carries TCP connections from an entry to the server, and the processes it takes. */
import { existsSync } from "node:fs"
import * as net from "node:net"
import type { Child } from "../children.ts"
import type { Entry } from "../load/order.ts"
import type { Targets } from "../load/Load.ts"

export interface Subject {
  readonly name: string
  /** Why it cannot be measured here; undefined when it can. */
  readonly missing: () => string | undefined
  readonly start: (targets: Targets) => Promise<Running>
}

export interface Running {
  readonly entries: { readonly echo: Entry; readonly source: Entry }
  /** Every process that the subject consists of; the role names it in the table. */
  readonly processes: ReadonlyArray<{
    readonly role: string
    readonly pid: number
    /** What it has written, where a case asks for it. */
    readonly output?: () => string
  }>
  readonly stop: () => Promise<void>
}

export const plainEntry = (port: number, host = "127.0.0.1"): Entry => ({ host, port, socks: undefined })

/** Both entries of a subject that is entered by SOCKS5; the server is asked for at `host`. */
export const socksEntries = (socks: { host: string; port: number }, host: string, targets: Targets) => ({
  echo: { host, port: targets.echo, socks },
  source: { host, port: targets.source, socks }
})

/** Ports that are free on `host` now; all are held at once, so no two are the same. */
export const freePorts = async (count: number, host: string): Promise<ReadonlyArray<number>> => {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<net.Server>((resolve, reject) => {
          const server = net.createServer()
          server.once("error", reject)
          server.listen(0, host, () => resolve(server))
        })
    )
  )
  // a TCP server's address is always an AddressInfo
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Resolves when the port accepts; for programs that say nothing when they are ready. */
export const accepts = async (port: number, child: Child): Promise<void> => {
  const deadline = performance.now() + START_TIMEOUT
  while (!(await acceptsNow(port))) {
    if (performance.now() > deadline || child.process.exitCode !== null)
      throw new Error(`${child.process.spawnfile} does not accept on 127.0.0.1:${port}:\n${child.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const acceptsNow = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

/** Where a program is, in the folders where Debian has programs; undefined when it is not there. */
export const findProgram = (name: string): string | undefined =>
  ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"].map((folder) => `${folder}/${name}`).find(existsSync)

const START_TIMEOUT = 10_000
