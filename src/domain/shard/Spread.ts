/** Whether a shard should let the others accept: the kernel alone spreads long connections at 1.36 to 1.72 of even. */

/** Connections above the average that a shard may hold before it steps back. */
const slack = (average: number): number => Math.max(8, average * 0.05)

/** How long a shard stays away at most: without a bound one wedged peer would stop all accepting. Milliseconds. */
export const STEP_BACK_MS = 10

export const holdsTooMany = (own: number, total: number, shards: number): boolean => {
  const average = total / shards
  return shards > 1 && own > average + slack(average)
}
