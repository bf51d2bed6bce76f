import { assert, describe, it } from "@effect/vitest"
import {
  byteLength,
  IN_HAND,
  isGauge,
  layoutOf,
  READINESS_TASKS,
  slotIndex,
  SLOTS
} from "../../../src/domain/shard/MetricLayout.ts"

describe("the shared memory", () => {
  it.each([1, 2, 7, 64])("has a place of its own for every slot, task and descriptor of %d shards", (shards) => {
    const memory = new SharedArrayBuffer(byteLength(shards))
    const { blocks, inHand, readiness } = layoutOf(memory, shards)
    let mark = 0
    for (let shard = 0; shard <= shards; shard++) for (const slot of SLOTS) blocks[slotIndex(shard, slot)] = ++mark
    readiness.fill(-1)
    inHand.fill(-2)
    mark = 0
    for (let shard = 0; shard <= shards; shard++) {
      for (const slot of SLOTS) assert.strictEqual(blocks[slotIndex(shard, slot)], ++mark)
    }
    assert.lengthOf(readiness, READINESS_TASKS.length)
    assert.isTrue(readiness.every((value) => value === -1))
    assert.lengthOf(inHand, shards * IN_HAND)
    assert.strictEqual(inHand.byteOffset + inHand.byteLength, memory.byteLength)
  })

  it("gives no two shards a cache line", () => {
    const { blocks } = layoutOf(new SharedArrayBuffer(byteLength(3)), 3)
    const lines = [0, 1, 2, 3].map(
      (shard) => new Set(SLOTS.map((slot) => Math.floor((blocks.byteOffset + slotIndex(shard, slot) * 8) / 128)))
    )
    assert.deepStrictEqual(
      lines.map((line) => [...line]),
      [[0], [1], [2], [3]]
    )
  })

  it("counts as gauges what is open, the heartbeat and the policies that are missing, nothing else", () => {
    assert.deepStrictEqual(SLOTS.filter(isGauge), [
      "socketsOpen",
      "connectionsOpen",
      "streamsOpen",
      "heartbeat",
      "policiesMissing"
    ])
  })
})
