/** What a test can ask of a shard of this process that was started from obedientShard.ts. */
import { BroadcastChannel } from "node:worker_threads"

export type Crash = "throws" | "exits" | "runs out of heap"

/** What is alive in a shard's heap after a collection, by kind. Sockets are streams too. */
export interface Census {
  readonly sockets: number
  readonly streams: number
  readonly conduits: number
  readonly fibers: number
  readonly heapBytes: number
}

export type Order =
  | { readonly _tag: "Crash"; readonly shard: number; readonly how: Crash }
  | { readonly _tag: "Count"; readonly shard: number }
  | { readonly _tag: "Counted"; readonly shard: number; readonly census: Census }

/** Broadcast channels do not leave their process. */
export const ORDERS = "weft-test-orders"

export const OBEDIENT_SHARD = new URL("./obedientShard.ts", import.meta.url)

export const crash = (shard: number, how: Crash): void => {
  const channel = new BroadcastChannel(ORDERS)
  channel.postMessage({ _tag: "Crash", shard, how } satisfies Order)
  channel.close()
}

export const countAlive = (shard: number): Promise<Census> =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel(ORDERS)
    channel.addEventListener("message", (event: unknown) => {
      // only shards of obedientShard.ts send here; `data` of their messages is an Order
      const { data } = event as { readonly data: Order }
      if (data._tag !== "Counted" || data.shard !== shard) return
      channel.close()
      resolve(data.census)
    })
    channel.postMessage({ _tag: "Count", shard } satisfies Order)
  })
