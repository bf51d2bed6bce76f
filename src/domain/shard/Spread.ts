/**
 * Whether a shard should stop accepting for a moment: to let the others (the kernel alone spreads long connections at 1.36
 * to 1.72 of even), or because descriptors run out.
 */

/** Connections above the average that a shard may hold before it steps back. */
const slack = (average: number): number => Math.max(8, average * 0.05)

/** How long a shard stays away at most: without a bound one wedged peer would stop all accepting. Milliseconds. */
export const STEP_BACK_MS = 10

export const holdsTooMany = (own: number, total: number, shards: number): boolean => {
  const average = total / shards
  return shards > 1 && own > average + slack(average)
}

/**
 * Descriptors kept back from accepting, out of `limit`: a connection that was let in needs another one to go on. When the
 * kernel itself has none left, libuv accepts and closes everyone who waits.
 */
export const headroom = (limit: number): number => Math.min(256, Math.max(16, Math.floor(limit / 16)))
