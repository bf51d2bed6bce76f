/** Clients that keep making connections while something else happens, and remember how each went. */
import { connectBySocks5, exchange, type Target } from "./rawTcp.ts"

export interface Attempt {
  readonly startedAt: number
  readonly failure: unknown
}

export interface Connecting {
  /** Every attempt so far that has finished. */
  readonly attempts: ReadonlyArray<Attempt>
  readonly stop: () => Promise<ReadonlyArray<Attempt>>
}

/** One client per target and turn of `concurrency`: connect, bytes there and back, close, again. */
export const keepConnecting = (proxy: Target, targets: ReadonlyArray<Target>, concurrency: number): Connecting => {
  const attempts: Array<Attempt> = []
  const stop = new AbortController()
  const client = async (target: Target) => {
    while (!stop.signal.aborted) {
      const startedAt = performance.now()
      const failure: unknown = await roundTrip(proxy, target).then(
        () => undefined,
        (cause: unknown) => cause
      )
      attempts.push({ startedAt, failure })
    }
  }
  const clients = Array.from({ length: concurrency }, () => targets.map(client)).flat()
  return {
    attempts,
    stop: async () => {
      stop.abort()
      await Promise.all(clients)
      return attempts
    }
  }
}

/** One whole life of a connection. */
export const roundTrip = async (proxy: Target, target: Target): Promise<void> => {
  const socket = await connectBySocks5(proxy, target)
  try {
    await exchange(socket, "there and back")
  } finally {
    socket.destroy()
  }
}
