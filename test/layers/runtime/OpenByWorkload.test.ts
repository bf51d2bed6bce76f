import { assert, describe, it } from "@effect/vitest"
import { makeOpenByWorkload } from "../../../src/layers/runtime/OpenByWorkload.ts"

describe("the connections open to each workload", () => {
  it("counts each by itself, and holds nothing of one to which none is open", () => {
    const open = makeOpenByWorkload()
    open.opened("a")
    open.opened("a")
    open.opened("b")
    assert.deepStrictEqual([open.of("a"), open.of("b"), open.of("c")], [2, 1, 0])
    open.closed("a")
    open.closed("b")
    assert.deepStrictEqual([open.of("a"), open.of("b"), open.size()], [1, 0, 1])
    open.closed("a")
    assert.deepStrictEqual([open.of("a"), open.size()], [0, 0])
  })
})
