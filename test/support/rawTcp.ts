/** Bare sockets on loopback for tests by the hundred: a server that echoes, a client that enters by SOCKS5, descriptors. */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { eventually } from "./eventually.ts"

export interface Target {
  readonly host: string
  readonly port: number
}

/** Sockets that are open on the server's side are in `open`. */
export interface Server extends Target {
  readonly open: ReadonlySet<Net.Socket>
}

/** Serves every socket with `handle` until the scope closes, then cuts what is left. */
export const listenTcp = (
  handle: (socket: Net.Socket) => void,
  host = "127.0.0.1"
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<Server & { readonly server: Net.Server }>((resolve, reject) => {
          const open = new Set<Net.Socket>()
          const server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
            open.add(socket)
            socket.on("error", () => socket.destroy())
            socket.once("close", () => open.delete(socket))
            handle(socket)
          })
          server.once("error", reject)
          server.listen({ port: 0, host, backlog: 4096 }, () => {
            // a TCP server's address is an AddressInfo
            resolve({ host, port: (server.address() as Net.AddressInfo).port, open, server })
          })
        })
    ),
    ({ open, server }) =>
      Effect.promise(
        () =>
          new Promise((resolve) => {
            for (const socket of open) socket.destroy()
            server.close(resolve)
          })
      )
  )

export const listenEcho = (host?: string) => listenTcp((socket) => void socket.pipe(socket), host)

/** A socket that the proxy has connected to `target`; fails with the proxy's answer when it would not. */
export const connectBySocks5 = (proxy: Target, target: Target): Promise<Net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = connectPlain(proxy)
    socket.write(Uint8Array.of(5, 1, 0, ...socks5Request(target)))
    let answer = Buffer.alloc(0)
    const fail = (error?: Error) => {
      socket.destroy()
      reject(error ?? new Error(`SOCKS5 ended after ${answer.length} bytes`))
    }
    const onClose = () => fail()
    const onData = (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length < SOCKS5_ANSWERS) return
      socket.off("data", onData).off("error", fail).off("close", onClose).off("end", onClose)
      socket.pause()
      if (answer[3] === 0) resolve(socket)
      else fail(new Error(`SOCKS5 refused with code ${answer[3]}`))
    }
    socket.on("error", fail).on("close", onClose).on("end", onClose).on("data", onData)
  })

/** A raw connection; it stays usable after the other side's end, and its errors end nothing. */
export const connectPlain = ({ host, port }: Target): Net.Socket => {
  const socket = Net.connect({ host, port, allowHalfOpen: true, noDelay: true })
  socket.on("error", () => {})
  return socket
}

/** CONNECT to an IPv4 target. */
export const socks5Request = ({ host, port }: Target): Uint8Array =>
  Uint8Array.of(5, 1, 0, 1, ...host.split(".").map(Number), port >> 8, port & 255)

/** Sends `text` and waits for as much; fails when the connection ends first. */
export const exchange = (socket: Net.Socket, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let received = ""
    const done = () => socket.off("data", onData).off("close", onClose).off("end", onClose)
    const onData = (chunk: Buffer) => {
      received += String(chunk)
      if (received.length < text.length) return
      done()
      resolve(received)
    }
    const onClose = () => {
      done()
      reject(new Error(`the connection ended after ${JSON.stringify(received)}`))
    }
    if (socket.destroyed || socket.readableEnded) return onClose()
    socket.on("data", onData).on("close", onClose).on("end", onClose)
    socket.resume()
    socket.write(text)
  })

/** Sees to the other side's end, and to the close of it all. */
export const closed = (socket: Net.Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) return resolve()
    socket.once("end", () => socket.end())
    socket.once("close", () => resolve())
    socket.resume()
  })

/** Open descriptors of a process; Linux only. */
export const descriptors = (pid: number | "self"): number => Fs.readdirSync(`/proc/${pid}/fd`).length

/** The number of descriptors, once it has not changed for a while: what closes late has closed. */
export const descriptorsAtRest = async (pid: number | "self"): Promise<number> => {
  let last = descriptors(pid)
  let since = performance.now()
  return eventually(() => {
    const now = descriptors(pid)
    if (now !== last) [last, since] = [now, performance.now()]
    return performance.now() - since > AT_REST_MS && now
  }, "descriptors at rest")
}

const AT_REST_MS = 250
/** Greeting's answer and reply. */
const SOCKS5_ANSWERS = 12
