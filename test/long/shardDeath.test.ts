/** Shards that die, one way after the other, with many connections on all of them. The quick version: test/programs. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { shardDeath } from "../support/shardDeath.ts"

describe("a shard that dies takes its own connections and the streams of its tunnels along, and no others", () => {
  it.live.each(["is terminated", "throws", "exits", "runs out of heap"] as const)("when it %s", (how) =>
    Effect.map(shardDeath({ how, shards: 4, each: 200, deathMs: 120_000 }), (figures) => {
      console.log(`a shard that ${how}:`, figures)
    })
  )
})
