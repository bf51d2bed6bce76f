/** A shard may die (house rule 3). A shard that runs out of heap is in test/long: the heap takes a while to fill. */
import { describe, it } from "@effect/vitest"
import { shardDeath } from "../support/shardDeath.ts"

describe("a shard that dies takes its own connections and the streams of its tunnels along, and no others", () => {
  it.live.each(["is terminated", "throws", "exits"] as const)("when it %s", (how) =>
    shardDeath({ how, shards: 3, each: 24 })
  )
})
