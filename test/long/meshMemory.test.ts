/** What a state of a hundred thousand workloads weighs. */
import { assert, describe, it } from "@effect/vitest"
import { MeshState } from "../../src/domain/mesh/MeshState.ts"
import { stageBatches } from "../../src/domain/mesh/StageBatches.ts"
import { collectGarbage } from "../support/collectGarbage.ts"
import { largeMesh, sizeOf } from "../support/largeMesh.ts"

const WORKLOADS = 100_000

const heap = () => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

describe("a state of a hundred thousand workloads, ten thousand services and a thousand policies", () => {
  it("takes at most 700 bytes a workload beside the encoded ones, and not more when all is sent again", () => {
    const state = new MeshState({ nodeName: "node-3.example.internal" })
    const before = heap()
    const perWorkload = Array.from({ length: 3 }, () => {
      for (const batch of largeMesh(sizeOf(WORKLOADS))) {
        assert.deepStrictEqual(
          [...stageBatches(state, [batch])].filter((rejected) => rejected !== undefined),
          []
        )
        state.commit()
        state.merge(() => true)
      }
      return Math.round((heap() - before) / WORKLOADS)
    })
    console.log("bytes a workload", perWorkload)
    assert.deepStrictEqual(state.size, sizeOf(WORKLOADS))
    for (const bytes of perWorkload) assert.isAtMost(bytes, 700)
  })
})
