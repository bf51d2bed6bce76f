import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { forEachInSlices, inSlices } from "../../../src/layers/runtime/Slices.ts"
import { longestStretch } from "../../support/longestStretch.ts"

/** A quarter of a millisecond of work. */
const work = () => {
  const until = performance.now() + 0.25
  while (performance.now() < until);
}

describe("work in slices", () => {
  it.effect("is done in order and to its end, and the loop turns every few milliseconds", () =>
    Effect.gen(function* () {
      const done: Array<number> = []
      const longest = yield* longestStretch(
        forEachInSlices(
          Array.from({ length: 400 }, (_, index) => index),
          (index) => {
            work()
            done.push(index)
          }
        )
      )
      assert.deepStrictEqual(
        done,
        Array.from({ length: 400 }, (_, index) => index)
      )
      assert.isBelow(longest, 20)
    })
  )

  it.effect("that fits into one slice is done at once", () =>
    Effect.gen(function* () {
      let steps = 0
      let turned = false
      const turn = setImmediate(() => (turned = true))
      yield* inSlices(() => {
        steps += 1
        return true
      })
      clearImmediate(turn)
      assert.deepStrictEqual([steps, turned], [1, false])
    })
  )

  it.effect("goes on even if one item takes longer than a slice", () =>
    Effect.gen(function* () {
      let done = 0
      yield* forEachInSlices([1, 2, 3], () => {
        for (let times = 0; times < 40; times += 1) work()
        done += 1
      })
      assert.strictEqual(done, 3)
    })
  )

  it.effect("may be done again", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const all = forEachInSlices([1, 2], (item) => seen.push(item))
      yield* all
      yield* all
      assert.deepStrictEqual(seen, [1, 2, 1, 2])
    })
  )

  it.live("lets what arrives be served in between", () =>
    Effect.gen(function* () {
      let served = 0
      const port = new MessageChannel()
      port.port1.addEventListener("message", () => {
        served += 1
        port.port2.postMessage(null)
      })
      port.port1.start()
      port.port2.postMessage(null)
      yield* forEachInSlices(Array.from({ length: 200 }), work)
      port.port1.close()
      assert.isAbove(served, 5)
    })
  )
})
