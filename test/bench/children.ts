/**
 * The processes of one bench run. Every child is started here, is ended here by its pid, and does not outlive the
 * program: `endAll` runs at the end, on an error, and on Ctrl-C; the synchronous twin runs on `exit` for what is left.
 */
import { type ChildProcess, fork, spawn } from "node:child_process"
import { once } from "node:events"
import { rmSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { childrenOf } from "./measure.ts"

export interface Child {
  readonly pid: number
  /** Messages of a forked Node child. */
  readonly process: ChildProcess
  /** What it has written to stdout and stderr, the end of it. */
  readonly output: () => string
  readonly stop: () => Promise<void>
}

const children = new Set<ChildProcess>()
const directories = new Set<string>()

/** A directory that goes away with the run. */
export const temporaryDirectory = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), "weft-bench-"))
  directories.add(path)
  return path
}

export const startProgram = (command: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}): Child =>
  register(spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } }))

/** A TypeScript file of this bench, with a message channel; `ready` is its first message. */
export const startNode = async <Ready>(
  file: URL,
  args: ReadonlyArray<string> = []
): Promise<{ child: Child; ready: Ready }> => {
  const child = register(fork(file, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] }))
  return { child, ready: await nextMessage<Ready>(child) }
}

/** The next message of a forked child; fails with its output when it ends instead. */
export const nextMessage = <A>(child: Child): Promise<A> =>
  new Promise((resolve, reject) => {
    const onExit = () => reject(new Error(`a bench process ended early:\n${child.output()}`))
    child.process.once("exit", onExit)
    child.process.once("message", (message) => {
      child.process.off("exit", onExit)
      // the child is a file of this folder, started with the type that its caller names
      resolve(message as A)
    })
  })

export const endAll = async (): Promise<void> => {
  await Promise.all(Array.from(children, stopProcess))
  removeDirectories()
}

/** For `process.on("exit")`, where nothing can be awaited. */
export const endAllNow = (): void => {
  for (const child of children) {
    // nginx's worker would outlive its master
    killChildrenOf(child)
    child.kill("SIGKILL")
  }
  removeDirectories()
}

const killChildrenOf = ({ pid }: ChildProcess) => {
  try {
    for (const grandchild of pid === undefined ? [] : childrenOf(pid)) process.kill(grandchild, "SIGKILL")
  } catch {
    // already gone
  }
}

const removeDirectories = () => {
  for (const path of directories) rmSync(path, { recursive: true, force: true })
  directories.clear()
}

const register = (child: ChildProcess): Child => {
  if (child.pid === undefined) throw new Error(`cannot start ${child.spawnfile}`)
  children.add(child)
  child.once("exit", () => children.delete(child))
  let text = ""
  const append = (chunk: Buffer) => (text = (text + chunk.toString()).slice(-KEPT_OUTPUT))
  child.stdout?.on("data", append)
  child.stderr?.on("data", append)
  return { pid: child.pid, process: child, output: () => text, stop: () => stopProcess(child) }
}

const stopProcess = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGTERM")
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT)
  await gone
  clearTimeout(timer)
}

const KEPT_OUTPUT = 64 * 1024
const STOP_TIMEOUT = 3_000
