/** How long to wait before a dead shard is replaced: the first time not at all, then longer while it keeps dying. Milliseconds. */
export const restartDelay = (failures: number): number =>
  failures <= 1 ? 0 : Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 2, 20))

const FIRST_MS = 50
const MAX_MS = 5_000
