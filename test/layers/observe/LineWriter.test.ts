/** The real standard output of a process of its own, whose reader stops and goes on. */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { eventually } from "../../support/eventually.ts"
import { NODE } from "../../support/WeftProcess.ts"

const WRITER = new URL("../../support/writeLines.ts", import.meta.url).pathname

/** The writer, told to write `lines` lines and to flush; stopped with the scope. Nobody reads its output yet. */
const startWriter = (lines: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = ChildProcess.spawn(NODE, [WRITER, String(lines)], { stdio: ["pipe", "pipe", "inherit", "ipc"] })
      child.stdout!.setEncoding("utf8").pause() // "pipe": it is there
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("standard output", () => {
  it.live("with a reader that stalls stops nobody, loses what is counted, and whole lines only", () =>
    Effect.gen(function* () {
      const count = 80_000
      const child = yield* startWriter(count)
      // it tells by another way that it has written everything: the pipe is full by then
      const [written]: Array<unknown> = yield* Effect.promise(() => once(child, "message"))
      assert.deepStrictEqual(written, "written")
      let text = ""
      child.stdout!.on("data", (chunk: string) => (text += chunk))
      child.send("end")
      const [dropped]: Array<unknown> = yield* Effect.promise(() => once(child, "message"))
      yield* Effect.promise(() => once(child, "exit"))
      yield* Effect.promise(() => eventually(() => child.stdout!.readableEnded, "the end of the output"))
      const lines = text.split("\n")
      assert.strictEqual(lines.pop(), "")
      assert.isAbove(Number(dropped), 0)
      assert.strictEqual(lines.length + Number(dropped), count)
      assert.isTrue(lines.every((line) => /^\d{8} x{80}$/.test(line)))
    })
  )

  it.live("ends quietly when its reader has gone", () =>
    Effect.gen(function* () {
      const child = yield* startWriter(80_000)
      child.stdout!.destroy()
      yield* Effect.promise(() => once(child, "message"))
      child.send("end")
      const [dropped]: Array<unknown> = yield* Effect.promise(() => once(child, "message"))
      assert.isAbove(Number(dropped), 0)
      const [code]: Array<unknown> = yield* Effect.promise(() => once(child, "exit"))
      assert.strictEqual(code, 0)
    })
  )
})
