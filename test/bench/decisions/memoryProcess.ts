/**
 * A process that is the whole proxy with two shards, listeners and all, and is told of the mesh whose batches are in the
 * file that its argument names. Answers how its memory grew.
 *
 * Settled: resident memory that has not changed for three seconds, with the collector left to itself. Collected: after a
 * full collection in each thread. What each heap holds is asked for last.
 */
import * as Effect from "effect/Effect"
import { setTimeout as after } from "node:timers/promises"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { countAlive, OBEDIENT_SHARD } from "../../support/shardOrders.ts"
import { startTestProxy } from "../../support/TestProxy.ts"
import { residentBytes } from "../measure.ts"
import type { MeshMemory } from "./memory.ts"
import { readBatches } from "./meshBytes.ts"

const [file = ""] = process.argv.slice(2)
const SHARDS = 2

const measured = Effect.gen(function* () {
  const { mesh, pool } = yield* startTestProxy({ shards: SHARDS, entry: OBEDIENT_SHARD })
  const before = yield* Effect.promise(look)
  let shared = 0
  const started = performance.now()
  for (const batch of readBatches(file)) {
    shared += batch.length
    const [rejection] = yield* mesh.apply([batch])
    if (rejection !== undefined) return yield* Effect.die(`${rejection.name} is not taken: ${rejection.reason}`)
  }
  yield* pool.applied
  const seconds = (performance.now() - started) / 1_000
  const grown = (yield* Effect.promise(look)).map((bytes, index) => bytes - before[index]!)
  const [settled = 0, collected = 0, main = 0, ...shards] = grown
  return { settled, collected, shared, heaps: [main, ...shards], seconds } satisfies MeshMemory
})

/** Settled, collected, the heap of main, those of the shards. Bytes. */
const look = async (): Promise<ReadonlyArray<number>> => {
  const settled = await settledBytes()
  const shards: Array<number> = []
  for (let shard = 0; shard < SHARDS; shard += 1) shards.push((await countAlive(shard)).heapBytes)
  V8.setFlagsFromString("--expose-gc")
  Vm.runInNewContext("gc")()
  return [settled, await settledBytes(), V8.getHeapStatistics().used_heap_size, ...shards]
}

const settledBytes = async (): Promise<number> => {
  const seen: Array<number> = []
  while (seen.length < MOST_LOOKS) {
    seen.push(residentBytes(process.pid))
    const last = seen.slice(-ALIKE)
    if (last.length === ALIKE && Math.max(...last) - Math.min(...last) < TOLERANCE) break
    await after(EVERY_MS)
  }
  return seen.at(-1)!
}

const EVERY_MS = 250
/** Three seconds. */
const ALIKE = 12
/** Half a minute. */
const MOST_LOOKS = 120
const TOLERANCE = 2 ** 20

process.on("disconnect", () => process.exit(0))
process.on("SIGINT", () => undefined)
process.send?.(await Effect.runPromise(Effect.scoped(measured)))
