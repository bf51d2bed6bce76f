/**
 * The real program as a child process: `weft proxy` with what a test wants to set, ports from the system. It is ready
 * when `startWeft` answers, and gone when its scope closes.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Readline from "node:readline"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const ROOT = new URL("../../", import.meta.url)
export const NODE = new URL("node_modules/.bin/node", ROOT).pathname
const MAIN = new URL("src/programs/main.ts", ROOT).pathname

export type Component = "outbound" | "inbound" | "inbound plaintext" | "socks5" | "readiness"

export interface Weft {
  readonly pid: number
  /** Where each listener is. */
  readonly ports: Readonly<Record<Component, { readonly host: string; readonly port: number }>>
  /** Every line of standard output so far. */
  readonly lines: ReadonlyArray<string>
  readonly stderr: () => string
  /** The first line, past or future, that `test` likes. Fails when the process ends first. */
  readonly line: (test: (line: string) => boolean) => Promise<string>
  readonly signal: (signal: NodeJS.Signals) => void
  /** The exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
}

export interface WeftOptions {
  /** `ns/name/sa`. */
  readonly workload: string
  /** The mesh file's text. */
  readonly mesh: string
  readonly bind?: string
  readonly env?: Readonly<Record<string, string>>
  /** In front of the program: `["ip", "netns", "exec", name]`. */
  readonly prefix?: ReadonlyArray<string>
}

/** A folder of one's own, removed with the scope. */
export const tempDir: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "weft-test-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

export const startWeft = Effect.fnUntraced(function* (options: WeftOptions) {
  const dir = yield* tempDir
  const mesh = Path.join(dir, "mesh.yaml")
  Fs.writeFileSync(mesh, options.mesh)
  const weft = yield* spawnWeft(options.prefix ?? [], ["proxy"], {
    PROXY_MODE: "dedicated",
    PROXY_WORKLOAD_INFO: options.workload,
    LOCAL_XDS_PATH: mesh,
    UNSTABLE_ENABLE_SOCKS5: "true",
    ZTUNNEL_WORKER_THREADS: "2",
    WEFT_BIND_ADDRESS: options.bind ?? "127.0.0.1",
    WEFT_OUTBOUND_PORT: "0",
    WEFT_INBOUND_PORT: "0",
    WEFT_INBOUND_PLAINTEXT_PORT: "0",
    WEFT_SOCKS5_PORT: "0",
    WEFT_READINESS_PORT: "0",
    ...options.env
  })
  yield* Effect.promise(() => weft.line((line) => line.includes("marking server ready")))
  return { ...weft, meshPath: mesh, ports: portsOf(weft.lines) }
})

/** The program with any arguments and environment; nothing is waited for. */
export const spawnWeft = (
  prefix: ReadonlyArray<string>,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>
): Effect.Effect<Omit<Weft, "ports">, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const [command, ...rest] = [...prefix, NODE, MAIN, ...args]
      const child = ChildProcess.spawn(command!, rest, {
        env: { PATH: process.env["PATH"], UV_THREADPOOL_SIZE: "32", ...env },
        stdio: ["ignore", "pipe", "pipe"]
      })
      const lines: Array<string> = []
      const waiting = new Set<{ readonly test: (line: string) => boolean; readonly found: (line: string) => void }>()
      Readline.createInterface({ input: child.stdout }).on("line", (line) => {
        lines.push(line)
        for (const waiter of waiting) {
          if (waiter.test(line)) {
            waiting.delete(waiter)
            waiter.found(line)
          }
        }
      })
      let stderr = ""
      child.stderr.on("data", (chunk: Buffer) => (stderr += String(chunk)))
      const exited = new Promise<number | NodeJS.Signals>((resolve) => {
        child.once("close", (code, signal) => resolve(code ?? signal ?? "SIGKILL"))
      })
      return {
        // spawn without an error event has a pid
        pid: child.pid!,
        lines,
        stderr: () => stderr,
        line: (test: (line: string) => boolean) =>
          new Promise<string>((resolve, reject) => {
            const known = lines.find(test)
            if (known !== undefined) return resolve(known)
            waiting.add({ test, found: resolve })
            void exited.then((how) => reject(new Error(`weft ended (${how}) first:\n${lines.join("\n")}\n${stderr}`)))
          }),
        signal: (signal: NodeJS.Signals) => void child.kill(signal),
        exited,
        child
      }
    }),
    ({ child, exited }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return exited
      })
  )

const portsOf = (lines: ReadonlyArray<string>): Weft["ports"] => {
  const ports: Partial<Record<string, { readonly host: string; readonly port: number }>> = {}
  for (const line of lines) {
    // the plain layout, or JSON
    const match =
      /listener established(?:\t|",)"?address(?:=|":)"(?:\[(.*)\]|([^"]*)):(\d+)"[ ,]"?component(?:=|":)"([^"]*)"/.exec(
        line
      )
    if (match !== null) ports[match[4]!] = { host: match[1] ?? match[2]!, port: Number(match[3]) }
  }
  // startWeft asks for every component
  return ports as Weft["ports"]
}
