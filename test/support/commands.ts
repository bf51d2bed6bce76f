/** Other people's programs: whether they are there, and what they say. Each is ended with its scope. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** For `it.skipIf`. */
export const isMissing = (program: string): boolean =>
  [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin"].every(
    (folder) => !Fs.existsSync(Path.join(folder, program))
  )

export const isRoot = process.getuid?.() === 0

export interface Running {
  readonly pid: number
  readonly stdin: NodeJS.WritableStream
  readonly stdout: () => Buffer
  readonly stderr: () => string
  /** Called after each piece of output. */
  readonly onOutput: (look: () => void) => void
  readonly ended: Promise<Ended>
}

export interface Ended {
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

export const start = (
  program: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync((): Running & { readonly stop: () => void } => {
      const child = ChildProcess.spawn(program, args, {
        env: { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`, LC_ALL: "C", ...env }
      })
      const out: Array<Buffer> = []
      let err = ""
      let look = () => {}
      child.stdin.on("error", () => {})
      child.stdout.on("data", (chunk: Buffer) => {
        out.push(chunk)
        look()
      })
      child.stderr.on("data", (chunk: Buffer) => {
        err += String(chunk)
        look()
      })
      return {
        // a program that is there has a pid
        pid: child.pid!,
        stdin: child.stdin,
        stdout: () => Buffer.concat(out),
        stderr: () => err,
        onOutput: (callback) => {
          look = callback
          look()
        },
        ended: new Promise((resolve, reject) => {
          child.once("error", reject)
          child.once("close", (code, signal) =>
            resolve({ code: code ?? signal ?? "SIGKILL", stdout: String(Buffer.concat(out)), stderr: err })
          )
        }),
        stop: () => void child.kill("SIGKILL")
      }
    }),
    ({ ended, stop }) =>
      Effect.promise(() => {
        stop()
        return ended
      })
  )

/** Runs to the end, with nothing to read. */
export const run = (program: string, args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  start(program, args).pipe(
    Effect.flatMap(({ ended, stdin }) =>
      Effect.promise(() => {
        stdin.end()
        return ended
      })
    ),
    Effect.scoped
  )

/** The same; dies when it fails. */
export const mustRun = (program: string, args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  Effect.flatMap(run(program, args), (ended) =>
    ended.code === 0
      ? Effect.succeed(ended)
      : Effect.die(new Error(`${program} ${args.join(" ")} ended with ${ended.code}: ${ended.stderr}`))
  )
