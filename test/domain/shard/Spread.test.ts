import { assert, describe, it } from "@effect/vitest"
import { holdsTooMany, STEP_BACK_MS } from "../../../src/domain/shard/Spread.ts"
import { integer, THOROUGH } from "../../support/hostileInput.ts"

describe("a shard that compares itself with the average", () => {
  it.each([
    [1_000, 1_000, 1, false, "is alone"],
    [8, 8, 4, false, "is the first, and may take a few"],
    [10, 10, 4, false, "is as far above as is allowed"],
    [11, 11, 4, true, "is one further"],
    [258, 1_000, 4, false, "is within 5 % of 250"],
    [262, 1_000, 4, false, "is 12 above 250, within 5 %"],
    [263, 1_000, 4, true, "is 13 above 250"],
    [0, 1_000, 4, false, "has none"]
  ])("holding %d of %d among %d shards: %s, for it %s", (own, total, shards, tooMany) => {
    assert.strictEqual(holdsTooMany(own, total, shards), tooMany)
  })

  it("stays away for 10 ms at most, or one wedged peer stops all accepting", () => {
    assert.isAtMost(STEP_BACK_MS, 10)
  })

  it.prop(
    "is never alone in that: some other shard still accepts",
    [integer(1, 64), integer(0, 100_000), integer(0, 1_000)],
    ([shards, most, seed]) => {
      const held = Array.from({ length: shards }, (_, shard) =>
        shard === 0 ? most : (seed * (shard + 7)) % (most + 1)
      )
      const total = held.reduce((sum, own) => sum + own, 0)
      assert.isTrue(held.some((own) => !holdsTooMany(own, total, shards)))
    },
    THOROUGH
  )

  it("filling one connection at a time, each to a shard that accepts, ends within 6 % of even", () => {
    const held = [0, 0, 0, 0]
    for (let total = 0; total < 10_000; total++) {
      // the kernel's habit at its worst: always the first that listens
      const first = held.findIndex((own) => !holdsTooMany(own, total, held.length))
      held[first] = held[first]! + 1
    }
    assert.isAtMost(Math.max(...held) / 2_500, 1.06)
  })
})
