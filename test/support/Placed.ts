/**
 * Connections of which a test knows the shards: opened one at a time, and found by whose counters moved. One through
 * HBONE lives on two shards, or on one twice: where it came in, and where its tunnel ends.
 */
import type * as Net from "node:net"
import { eventually } from "./eventually.ts"
import { closed, connectBySocks5, exchange, type Target } from "./rawTcp.ts"
import type { TestProxy } from "./TestProxy.ts"

export interface Placed {
  readonly socket: Net.Socket
  /** Whoever of these dies takes the connection along. */
  readonly shards: ReadonlySet<number>
  readonly closed: Promise<void>
}

export const openPlaced = async (proxy: TestProxy, shards: number, target: Target): Promise<Placed> => {
  const opened = () => Array.from({ length: shards }, (_, shard) => proxy.metrics.ofShard(shard, "connectionsOpened"))
  const before = opened()
  const socket = await connectBySocks5(proxy.socks5, target)
  await exchange(socket, "placed")
  const after = opened()
  const moved = new Set(after.flatMap((count, shard) => (count > before[shard]! ? [shard] : [])))
  return { socket, shards: moved, closed: closed(socket) }
}

/** Every connection that `dead` had ends; every other still carries bytes. Answers how many were of which kind. */
export const onlyThoseOf = async (dead: number, placed: ReadonlyArray<Placed>) => {
  const doomed = placed.filter(({ shards }) => shards.has(dead))
  const others = placed.filter(({ shards }) => !shards.has(dead))
  const alive = () => doomed.filter(({ socket }) => !socket.destroyed && !socket.readableEnded)
  await eventually(
    () => alive().length === 0,
    () =>
      `${alive().length} of ${doomed.length} connections of shard ${dead} go on: ${alive()
        .map(({ shards }) => [...shards].join("+"))
        .join(", ")}`
  )
  for (const { shards, socket } of others) {
    await exchange(socket, "still here").catch((cause: unknown) => {
      throw new Error(`a connection of shards ${[...shards].join(" and ")} ended with shard ${dead}`, { cause })
    })
  }
  return { doomed: doomed.length, others: others.length }
}
