import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { isGauge, type Slot, SLOTS } from "../../../src/domain/shard/MetricLayout.ts"
import { SharedMetrics, ShardMetrics } from "../../../src/layers/observe/Metrics.ts"
import { integer, oneOf } from "../../support/hostileInput.ts"

const SHARDS = 3

const build = Effect.gen(function* () {
  const shared = Context.get(yield* Layer.build(SharedMetrics.layer(SHARDS)), SharedMetrics)
  const shards: Array<ShardMetrics["Service"]> = []
  for (let shard = 0; shard < SHARDS; shard++) {
    shards.push(Context.get(yield* Layer.build(ShardMetrics.layer(shared.layout, shard, SHARDS)), ShardMetrics))
  }
  return { shared, shards }
})

describe("the counters of all shards", () => {
  it.effect("are read as one sum, and shard by shard", () =>
    Effect.gen(function* () {
      const { shared, shards } = yield* build
      shards.forEach((shard, index) => {
        shard.add("bytesSent", 10 ** index)
        shard.add("socketsOpen", index)
      })
      shards[2]!.add("socketsOpen", -1)
      assert.strictEqual(shared.total("bytesSent"), 111)
      assert.strictEqual(shared.ofShard(1, "bytesSent"), 10)
      assert.deepStrictEqual(shards[2]!.sockets(), { own: 1, total: 2 })
    })
  )

  it.effect("of a dead shard stay in the sum; what it had open is closed", () =>
    Effect.gen(function* () {
      const { shared, shards } = yield* build
      shards[0]!.add("connectionsOpened", 5)
      shards[0]!.add("connectionsClosed", 5)
      shards[1]!.add("connectionsOpened", 7)
      shards[1]!.add("connectionsClosed", 3)
      shards[1]!.add("tunnelsOpened", 2)
      shards[1]!.add("connectionsOpen", 4)
      shards[1]!.add("socketsOpen", 8)
      shards[1]!.add("bytesReceived", 1_000)
      shared.retire(1)
      assert.strictEqual(shared.total("connectionsOpened"), 12)
      assert.strictEqual(shared.total("connectionsClosed"), 12)
      assert.strictEqual(shared.total("tunnelsClosed"), 2)
      assert.strictEqual(shared.total("bytesReceived"), 1_000)
      assert.strictEqual(shared.total("connectionsOpen"), 0)
      assert.strictEqual(shared.total("socketsOpen"), 0)
      for (const slot of SLOTS) assert.strictEqual(shared.ofShard(1, slot), 0)
      // its successor counts from nothing, on top of it
      shards[1]!.add("bytesReceived", 1)
      assert.strictEqual(shared.total("bytesReceived"), 1_001)
    })
  )

  it.effect("include gauges of the main thread's own, which no shard's death touches", () =>
    Effect.gen(function* () {
      const { shared } = yield* build
      shared.set("policiesMissing", 3)
      shared.retire(0)
      assert.strictEqual(shared.total("policiesMissing"), 3)
      shared.set("policiesMissing", 1)
      assert.strictEqual(shared.total("policiesMissing"), 1)
    })
  )

  const step = Arbitrary.all([integer(0, SHARDS - 1), oneOf<Slot | "retire">(["retire", ...SLOTS]), integer(0, 1_000)])
  it.effect.prop(
    "never run backwards, whichever shards die; gauges of the dead go to zero",
    [Arbitrary.array(step)],
    ([steps]) =>
      Effect.gen(function* () {
        const { shared, shards } = yield* build
        const before = new Map(SLOTS.map((slot) => [slot, 0]))
        for (const [shard, what, amount] of steps) {
          if (what === "retire") shared.retire(shard)
          else shards[shard]!.add(what, amount)
          for (const slot of SLOTS) {
            const total = shared.total(slot)
            if (isGauge(slot)) {
              if (what === "retire") assert.strictEqual(shared.ofShard(shard, slot), 0)
              assert.strictEqual(
                total,
                [0, 1, 2].reduce((sum, each) => sum + shared.ofShard(each, slot), 0)
              )
            } else if (slot !== "connectionsClosed" && slot !== "tunnelsClosed") {
              assert.isAtLeast(total, before.get(slot)!)
            }
            before.set(slot, total)
          }
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 100, size: 40 } }
  )
})
