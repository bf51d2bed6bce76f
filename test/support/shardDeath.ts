/**
 * The story of a shard that dies while connections and tunnels are on all shards: what ends with it, what does not, who
 * is served meanwhile, and what the counts and descriptors say afterwards. Fails where weft breaks house rule 3.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Attempt, keepConnecting, roundTrip } from "./Connecting.ts"

import { eventually } from "./eventually.ts"
import { onlyThoseOf, openPlaced, type Placed } from "./Placed.ts"
import { descriptors, descriptorsAtRest, listenEcho } from "./rawTcp.ts"
import { crash, type Crash, OBEDIENT_SHARD } from "./shardOrders.ts"
import { SERVER_IP, startTestProxy, type TestProxy } from "./TestProxy.ts"

export interface Story {
  readonly how: "is terminated" | Crash
  readonly shards: number
  /** Long-lived connections of each kind. */
  readonly each: number
  /** Death may take its time: a heap has to fill. */
  readonly deathMs?: number
}

export const shardDeath = Effect.fnUntraced(function* ({ deathMs = 5_000, each, how, shards }: Story) {
  const targets = [yield* listenEcho(), yield* listenEcho(SERVER_IP)]
  const proxy = yield* startTestProxy({
    shards,
    entry: OBEDIENT_SHARD,
    env: { POOL_UNUSED_RELEASE_TIMEOUT: "100ms" }
  })
  return yield* Effect.promise(async () => {
    for (let time = 0; time < 2 * shards; time++) for (const target of targets) await roundTrip(proxy.socks5, target)
    await atRest(proxy)
    const baseline = await descriptorsAtRest("self")

    const placed: Array<Placed> = []
    for (let time = 0; time < each; time++) {
      for (const target of targets) placed.push(await openPlaced(proxy, shards, target))
    }
    const dead = [...placed[0]!.shards][0]!
    const lives = () => proxy.metrics.ofShard(dead, "heartbeat")
    const before = await eventually(lives, "the first heartbeat")
    const connecting = keepConnecting(proxy.socks5, targets, CONCURRENCY)
    if (how === "is terminated") await Effect.runPromise(proxy.pool.terminate(dead))
    else crash(dead, how)
    await eventually(() => lives() < before, `the shard's end (it ${how})`, deathMs)
    const diedAt = performance.now()
    const { doomed, others } = await onlyThoseOf(dead, placed)
    assert.isAbove(doomed, 0)
    assert.isAbove(others, 0)

    await eventually(() => lives() > 0, "the replacement's first heartbeat")
    const enough = connecting.attempts.length + 10 * CONCURRENCY
    await eventually(
      () => connecting.attempts.length >= enough,
      "more connections, the replacement among those who serve"
    )
    const attempts = await connecting.stop()
    judge(attempts, diedAt)

    for (const { socket } of placed) socket.destroy()
    await atRest(proxy)
    await eventually(
      () => descriptors("self") === baseline,
      () => `${descriptors("self")} descriptors are open, ${baseline} were`
    )
    return { doomed, others, attempts: attempts.length, failed: attempts.filter(failed).length }
  })
})

/** Those that were under way on the dead shard may have ended with it; nobody is refused, and nobody fails later. */
const judge = (attempts: ReadonlyArray<Attempt>, diedAt: number): void => {
  const failures = attempts.filter(failed)
  const refused = failures.filter(({ failure }) => String(failure).includes("ECONNREFUSED"))
  assert.deepStrictEqual(refused, [], "connections were refused")
  const later = failures.filter(({ startedAt }) => startedAt > diedAt).map(({ failure }) => String(failure))
  assert.deepStrictEqual(later, [], "connections that began after the death failed")
  assert.isAtMost(failures.length, 2 * CONCURRENCY, "more failed than were under way")
}

const failed = ({ failure }: Attempt): boolean => failure !== undefined

/** All gauges at zero, and everything that was opened closed. */
export const atRest = async ({ metrics }: TestProxy): Promise<void> => {
  const counts = () => ({
    sockets: metrics.total("socketsOpen"),
    streams: metrics.total("streamsOpen"),
    connections: metrics.total("connectionsOpen"),
    unclosed: metrics.total("connectionsOpened") - metrics.total("connectionsClosed"),
    tunnels: metrics.total("tunnelsOpened") - metrics.total("tunnelsClosed")
  })
  await eventually(
    () => Object.values(counts()).every((count) => count === 0),
    () => `everything at zero: ${JSON.stringify(counts())}`,
    10_000
  )
}

const CONCURRENCY = 4
