import { assert, describe, it } from "@effect/vitest"
import { restartDelay } from "../../../src/domain/shard/Restart.ts"

describe("the delay before a dead shard is replaced", () => {
  it("is nothing the first time, then doubles from 50 ms to 5 s and stays there", () => {
    const delays = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1_000, Number.MAX_SAFE_INTEGER].map(restartDelay)
    assert.deepStrictEqual(delays, [0, 0, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000])
  })
})
