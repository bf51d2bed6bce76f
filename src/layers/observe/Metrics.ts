/**
 * The memory that all threads share (layout: domain/shard/MetricLayout). A shard adds to its own block with plain writes;
 * the main thread reads, and folds a dead shard's block into the retired one so that no counter ever runs backwards.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import {
  byteLength,
  isGauge,
  type Layout,
  layoutOf,
  READINESS_TASKS,
  type ReadinessTask,
  type Slot,
  slotIndex,
  SLOTS
} from "../../domain/shard/MetricLayout.ts"

/** One shard's own counters and gauges. */
export class ShardMetrics extends Context.Service<
  ShardMetrics,
  {
    readonly add: (slot: Slot, amount: number) => void
    /** `add` of one slot, for what is called for every piece of data. */
    readonly adder: (slot: Slot) => (amount: number) => void
    /** Sockets open here and in all shards: what the accept gate compares. */
    readonly sockets: () => { readonly own: number; readonly total: number }
  }
>()("weft/layers/observe/ShardMetrics") {
  static readonly layer = (layout: Layout, shard: number, shards: number) =>
    Layer.sync(this, () => {
      const { blocks } = layout
      return ShardMetrics.of({
        add: (slot, amount) => {
          const index = slotIndex(shard, slot)
          blocks[index] = blocks[index]! + amount
        },
        adder: (slot) => {
          const index = slotIndex(shard, slot)
          return (amount) => {
            blocks[index] = blocks[index]! + amount
          }
        },
        sockets: () => {
          let total = 0
          for (let other = 0; other < shards; other++) total += blocks[slotIndex(other, "socketsOpen")]!
          return { own: blocks[slotIndex(shard, "socketsOpen")]!, total }
        }
      })
    })
}

/** The memory as the main thread sees it. */
export class SharedMetrics extends Context.Service<
  SharedMetrics,
  {
    readonly memory: SharedArrayBuffer
    readonly layout: Layout
    /** The sum over all shards, dead ones included. */
    readonly total: (slot: Slot) => number
    readonly ofShard: (shard: number, slot: Slot) => number
    readonly retire: (shard: number) => void
    /** A gauge of the main thread's own. */
    readonly set: (slot: Slot, value: number) => void
    readonly completeTask: (task: ReadinessTask, elapsedMs: number) => void
  }
>()("weft/layers/observe/SharedMetrics") {
  static readonly layer = (shards: number) =>
    Layer.sync(this, () => {
      const memory = new SharedArrayBuffer(byteLength(shards))
      const layout = layoutOf(memory, shards)
      const { blocks, readiness } = layout
      return SharedMetrics.of({
        memory,
        layout,
        total: (slot) => {
          let sum = 0
          for (let shard = 0; shard <= shards; shard++) sum += blocks[slotIndex(shard, slot)]!
          return sum
        },
        ofShard: (shard, slot) => blocks[slotIndex(shard, slot)]!,
        retire: (shard) => {
          // what was open ended with the shard: opened and closed must agree
          blocks[slotIndex(shard, "connectionsClosed")] = blocks[slotIndex(shard, "connectionsOpened")]!
          blocks[slotIndex(shard, "tunnelsClosed")] = blocks[slotIndex(shard, "tunnelsOpened")]!
          for (const slot of SLOTS) {
            const index = slotIndex(shard, slot)
            if (!isGauge(slot)) blocks[slotIndex(shards, slot)]! += blocks[index]!
            blocks[index] = 0
          }
        },
        set: (slot, value) => {
          blocks[slotIndex(shards, slot)] = value
        },
        completeTask: (task, elapsedMs) => {
          readiness[READINESS_TASKS.indexOf(task)] = Math.max(elapsedMs, Number.MIN_VALUE)
        }
      })
    })
}
