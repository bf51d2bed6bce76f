/**
 * Ten thousand connections through SOCKS5, HBONE and out again, that end in every way at random moments: afterwards
 * everything is where it was after a first, smaller storm (house rule 4).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { eventually } from "../support/eventually.ts"
import { descriptorsAtRest, listenTcp } from "../support/rawTcp.ts"
import { seeded } from "../support/Seeded.ts"
import { atRest } from "../support/shardDeath.ts"
import { type Census, countAlive, OBEDIENT_SHARD } from "../support/shardOrders.ts"
import { storm, stormServer } from "../support/Storm.ts"
import { SERVER_IP, startTestProxy } from "../support/TestProxy.ts"

const SHARDS = 2
const SEED = Number(process.env["WEFT_TEST_SEED"] ?? 4711)

describe("after a storm", () => {
  it.live("of 10 000 connections with random aborts nothing is left behind", () =>
    Effect.gen(function* () {
      const target = yield* listenTcp(stormServer, SERVER_IP)
      const proxy = yield* startTestProxy({
        shards: SHARDS,
        entry: OBEDIENT_SHARD,
        env: { POOL_UNUSED_RELEASE_TIMEOUT: "200ms" }
      })
      const random = seeded(SEED)
      const run = (connections: number) => storm({ proxy: proxy.socks5, target, connections, concurrency: 200, random })
      const settled = async () => {
        await eventually(
          () => target.open.size === 0,
          () => `the server's sockets closed: ${target.open.size} open`,
          15_000
        )
        await atRest(proxy)
        const census: Array<Census> = []
        for (let shard = 0; shard < SHARDS; shard++) census.push(await countAlive(shard))
        return { descriptors: await descriptorsAtRest("self"), census }
      }
      yield* Effect.promise(async () => {
        console.log("warm-up:", await run(3_000))
        const before = await settled()
        console.log("storm:", await run(10_000))
        const after = await settled()
        console.log("before:", before.descriptors, before.census, "after:", after.descriptors, after.census)
        assert.strictEqual(after.descriptors, before.descriptors)
        for (const [shard, { heapBytes, ...counts }] of after.census.entries()) {
          const { heapBytes: heapBefore, ...countsBefore } = before.census[shard]!
          assert.deepStrictEqual(counts, countsBefore, `alive in shard ${shard}`)
          assert.isAtMost(heapBytes / heapBefore, 1.1, `heap of shard ${shard}`)
        }
        assert.isAbove(proxy.metrics.total("connectionsClosed"), 10_000)
      })
    })
  )
})
