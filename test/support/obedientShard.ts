/**
 * The entry of a shard that takes orders from a test: src/programs/worker.ts, and a channel on which a test asks it to
 * crash, or to count what is alive in its heap. Nothing of the shard itself is changed.
 */
import * as Net from "node:net"
import { Duplex } from "node:stream"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { BroadcastChannel, workerData } from "node:worker_threads"
import * as Effect from "effect/Effect"
import { TcpConduit } from "../../src/layers/os/TcpConduit.ts"
import { StreamConduit } from "../../src/layers/os/StreamConduit.ts"
import { type Census, type Crash, type Order, ORDERS } from "./shardOrders.ts"

await import("../../src/programs/worker.ts")

// `workerData` is a ShardStart
const { shard } = workerData as { readonly shard: number }
const channel = new BroadcastChannel(ORDERS)
channel.unref()
channel.addEventListener("message", (event: unknown) => {
  // the only sender is shardOrders.ts; `data` of its messages is an Order
  const { data } = event as { readonly data: Order }
  if (data.shard !== shard) return
  if (data._tag === "Crash") setImmediate(ways[data.how])
  if (data._tag === "Count") channel.postMessage({ _tag: "Counted", shard, census: count() } satisfies Order)
})

const ways: Record<Crash, () => void> = {
  throws: () => {
    throw new Error("a test made this shard throw")
  },
  exits: () => process.exit(3),
  "runs out of heap": () => {
    // large arrays of numbers: cheap to collect, so that the limit is reached and not only approached
    const kept: Array<Array<number>> = []
    while (true) kept.push(Array<number>(1_000_000).fill(kept.length + 0.5))
  }
}

const alive = (kind: Function): number => V8.queryObjects(kind, { format: "count" })

/** Counting by kind walks the heap, and collects it first. */
const count = (): Census => {
  V8.setFlagsFromString("--expose-gc")
  Vm.runInNewContext("gc")()
  return {
    sockets: alive(Net.Socket),
    streams: alive(Duplex),
    conduits: alive(TcpConduit) + alive(StreamConduit),
    fibers: alive(Effect.runFork(Effect.void).constructor),
    heapBytes: V8.getHeapStatistics().used_heap_size
  }
}
