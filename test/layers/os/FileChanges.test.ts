import { execFileSync } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { readText, whenFilesChange } from "../../../src/layers/os/FileChanges.ts"

const doing = <A>(step: () => Promise<A>) => Effect.promise(step)
const temporaryFolder = Effect.acquireRelease(
  doing(() => mkdtemp(join(tmpdir(), "weft-changes-"))),
  (folder) => doing(() => rm(folder, { recursive: true }))
)

/** Two files that are followed; `look` lets the follower look once and answers how often it has told so far. */
const followed = Effect.gen(function* () {
  const folder = yield* temporaryFolder
  const [one, two] = [join(folder, "one"), join(folder, "two")]
  yield* doing(() => writeFile(one, "1"))
  let told = 0
  yield* whenFilesChange(
    [one, two],
    Effect.sync(() => told++)
  )
  const look = TestClock.adjust("250 millis").pipe(
    // longer than a look takes
    Effect.andThen(Effect.forEach(Array.from({ length: 8 }), () => doing(() => readFile(one).catch(() => undefined)))),
    Effect.andThen(Effect.sync(() => told))
  )
  const write = (path: string, text: string) => doing(() => writeFile(path, text))
  return { one, two, look, write }
})

describe("whenFilesChange", () => {
  it.effect("what stands still is told of once, what is being written is not", () =>
    Effect.gen(function* () {
      const { look, one, two, write } = yield* followed
      assert.deepStrictEqual([yield* look, yield* look, yield* look], [0, 0, 0])
      yield* write(one, "12")
      assert.strictEqual(yield* look, 0)
      yield* write(one, "123")
      assert.strictEqual(yield* look, 0)
      yield* write(two, "1")
      assert.strictEqual(yield* look, 0)
      assert.deepStrictEqual([yield* look, yield* look, yield* look], [1, 1, 1])
    })
  )

  it.effect("a file that goes, and comes again", () =>
    Effect.gen(function* () {
      const { look, one, write } = yield* followed
      yield* doing(() => rm(one))
      assert.deepStrictEqual([yield* look, yield* look, yield* look], [0, 1, 1])
      yield* write(one, "1")
      assert.deepStrictEqual([yield* look, yield* look, yield* look], [1, 2, 2])
    })
  )
})

describe("readText", () => {
  it.live("takes no pipe and no folder for a file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const pipe = join(folder, "pipe")
      execFileSync("mkfifo", [pipe])
      for (const path of [pipe, folder]) {
        const { message } = yield* Effect.flip(readText(path))
        assert.strictEqual(message, `${path} cannot be read: it is not a regular file`)
      }
      const missing = yield* Effect.flip(readText(join(folder, "missing")))
      assert.match(missing.message, /missing cannot be read: ENOENT/)
    })
  )
})
