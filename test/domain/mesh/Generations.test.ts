import { assert, describe, it } from "@effect/vitest"
import { Generations } from "../../../src/domain/mesh/Generations.ts"

describe("a cache of two generations", () => {
  it("keeps what is used, and lets go of what is not", () => {
    const cache = new Generations<string, number>(2)
    cache.set("used", 1)
    cache.set("unused", 2)
    for (let index = 0; index < 10; index += 1) {
      cache.set(`${index}`, index)
      assert.strictEqual(cache.get("used"), 1)
    }
    assert.isUndefined(cache.get("unused"))
    assert.isUndefined(cache.get("0"))
  })

  it("forgets what is deleted, of whichever generation", () => {
    const cache = new Generations<string, number>(1)
    cache.set("old", 1)
    cache.set("young", 2)
    cache.delete("old")
    cache.delete("young")
    assert.isUndefined(cache.get("old"))
    assert.isUndefined(cache.get("young"))
  })
})
