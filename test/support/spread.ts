/** Long-lived connections over the shards, and what the fullest shard has of them against the average. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { eventually } from "./eventually.ts"
import { connectBySocks5, listenEcho } from "./rawTcp.ts"
import { startTestProxy } from "./TestProxy.ts"

export interface Spread {
  readonly count: number
  readonly shards: number
  readonly how: "one after the other" | "in a burst"
}

export const spread = Effect.fnUntraced(function* ({ count, how, shards }: Spread) {
  const echo = yield* listenEcho()
  const proxy = yield* startTestProxy({ shards })
  const open = () => connectBySocks5(proxy.socks5, echo)
  const sockets = yield* Effect.acquireRelease(
    Effect.promise(async () => {
      if (how === "in a burst") return Promise.all(Array.from({ length: count }, open))
      const opened: Array<Net.Socket> = []
      while (opened.length < count) opened.push(await open())
      return opened
    }),
    (sockets) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
      })
  )
  assert.strictEqual(proxy.metrics.total("socketsOpen"), count)
  const perShard = Array.from({ length: shards }, (_, shard) => proxy.metrics.ofShard(shard, "socketsOpen"))
  const fullest = Math.max(...perShard) / (count / shards)
  assert.isAtMost(fullest, 1.25, `per shard: ${perShard.join(", ")}`)
  for (const socket of sockets) socket.destroy()
  yield* Effect.promise(() => eventually(() => proxy.metrics.total("socketsOpen") === 0, "all sockets closed"))
  return { perShard, fullest }
})
