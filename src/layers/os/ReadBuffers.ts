/**
 * Read buffers of one thread. A connection starts with little and earns more by moving bytes: an idle
 * one holds 1 KiB each way, a fast one reads a quarter of a megabyte per call (measured: house.md §5).
 */

/** After `from` bytes moved in one direction, its buffer has `size` bytes. */
const GROWTH = [
  { from: 0, size: 1024 },
  { from: 1024, size: 4096 },
  { from: 16 * 1024, size: 16 * 1024 },
  { from: 128 * 1024, size: 64 * 1024 },
  { from: 10 * 1024 * 1024, size: 256 * 1024 }
] as const

/** Free buffers kept per size: 4 MiB of each at the most. */
const KEEP_BYTES = 4 * 1024 * 1024

const free = new Map<number, Array<Buffer>>(GROWTH.map(({ size }) => [size, []]))

/** The count of bytes moved at which a larger buffer is due. */
export const nextGrowth = (moved: number): number => GROWTH.find(({ from }) => from > moved)?.from ?? Infinity

export const sizeFor = (moved: number): number => {
  let size: number = GROWTH[0].size
  for (const step of GROWTH) if (moved >= step.from) size = step.size
  return size
}

export const takeBuffer = (size: number): Buffer => free.get(size)?.pop() ?? make(size)

/** Small ones are cut from a slab: an allocation of its own costs an idle connection as much again. */
const make = (size: number): Buffer => {
  if (size >= SLAB_BYTES) return Buffer.allocUnsafeSlow(size)
  const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  const pieces = Array.from({ length: SLAB_BYTES / size }, (_, index) =>
    slab.subarray(index * size, (index + 1) * size)
  )
  const [first, ...rest] = pieces
  free.get(size)?.push(...rest)
  return first! // a slab has several pieces
}

const SLAB_BYTES = 64 * 1024

/** Only for buffers that nothing points into any more: no pending read, no pending write. */
export const giveBack = (buffer: Buffer): void => {
  const list = free.get(buffer.length)
  if (list !== undefined && list.length * buffer.length < KEEP_BYTES) list.push(buffer)
}
