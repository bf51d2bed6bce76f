/** The launcher, in a copy of its surroundings: a folder with `bin`, a pinned Node and a `main.ts` that tells what it got. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

const MAIN = `
const what: string = process.argv[2]!
console.log(JSON.stringify({ argv: process.argv.slice(2), pool: process.env["UV_THREADPOOL_SIZE"], pid: process.pid }))
if (what === "exit") process.exit(7)
if (what === "die") process.kill(process.pid, "SIGKILL")
process.on("SIGTERM", () => process.exit(8)).on("SIGINT", () => process.exit(9)).on("SIGHUP", () => process.exit(10))
setInterval(() => {}, 1_000)
console.log("waiting")
`

let root = ""
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "weft-launcher-"))
  await cp("bin/weft.js", join(root, "bin/weft.js"))
  await mkdir(join(root, "src/programs"), { recursive: true })
  await writeFile(join(root, "package.json"), '{ "type": "module" }')
  await writeFile(join(root, "src/programs/main.ts"), MAIN)
  await mkdir(join(root, "node_modules/.bin"), { recursive: true })
  await symlink(process.execPath, join(root, "node_modules/.bin/node"))
})
afterAll(() => rm(root, { recursive: true }))

/** Node before 22.15 has no `execve`. */
const WITHOUT_EXECVE = ["--import", "data:text/javascript,delete process.execve"]

const start = (options: ReadonlyArray<string>, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) => {
  const child = spawn(process.execPath, [...options, join(root, "bin/weft.js"), ...args], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  let output = ""
  const waiting = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text
        if (output.includes("waiting")) resolve()
      })
    }
  })
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, output }))
  return { child, ended, waiting }
}

describe.each([
  ["execve", []],
  ["spawn", WITHOUT_EXECVE]
])("weft.js by %s", (how, options) => {
  it("runs main.ts with the arguments, and hands its exit code on", async () => {
    const { child, ended } = start(options, ["exit", "a b", "--c"])
    const { code, output } = await ended
    assert.strictEqual(code, 7)
    const said = JSON.parse(output)
    assert.deepStrictEqual(said.argv, ["exit", "a b", "--c"])
    assert.strictEqual(said.pool, "32")
    assert.strictEqual(said.pid === child.pid, how === "execve")
  })

  it("keeps the pool size that is set", async () => {
    const { output } = await start(options, ["exit"], { UV_THREADPOOL_SIZE: "8" }).ended
    assert.strictEqual(JSON.parse(output).pool, "8")
  })

  it.each([
    ["SIGTERM", 8],
    ["SIGINT", 9],
    ["SIGHUP", 10]
  ] as const)("hands %s on", async (signal, expected) => {
    const { child, ended, waiting } = start(options, ["wait"])
    await waiting
    child.kill(signal)
    assert.strictEqual((await ended).code, expected)
  })

  it("ends by the signal that main.ts ended by", async () => {
    assert.strictEqual((await start(options, ["die"]).ended).signal, "SIGKILL")
  })
})

describe("weft.js", () => {
  it("says what to do where the pinned Node is missing", async () => {
    await rm(join(root, "node_modules"), { recursive: true })
    const { code, output } = await start([], ["exit"]).ended
    assert.strictEqual(code, 1)
    assert.include(output, "run npm ci in")
  })
})
