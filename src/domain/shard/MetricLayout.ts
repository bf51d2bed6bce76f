/**
 * The layout of the memory that all threads share. Each shard owns one block of Float64 slots on cache lines of its own
 * and is its only writer; the main thread only reads (house rule: one writer per slot, plain writes). After the shard
 * blocks come one block of retired totals, the readiness tasks and, per shard, the descriptors it holds in hand.
 */

/** Slots of one block. Gauges return to zero when their shard dies; the others fold into the retired block. */
export const SLOTS = [
  "connectionsOpened",
  "connectionsClosed",
  "connectionsFailed",
  "bytesReceived",
  "bytesSent",
  "acceptErrors",
  "linesDropped",
  "tunnelsOpened",
  "tunnelsClosed",
  "onDemandDns",
  "socketsOpen",
  "connectionsOpen",
  "streamsOpen",
  "heartbeat",
  "policiesMissing"
] as const
export type Slot = (typeof SLOTS)[number]

const GAUGES: ReadonlySet<Slot> = new Set<Slot>([
  "socketsOpen",
  "connectionsOpen",
  "streamsOpen",
  "heartbeat",
  "policiesMissing"
])
export const isGauge = (slot: Slot): boolean => GAUGES.has(slot)

/** The tasks that must finish before the proxy is ready, under ztunnel's names (reference ops §1.6). */
export const READINESS_TASKS = ["state manager", "proxy"] as const
export type ReadinessTask = (typeof READINESS_TASKS)[number]

/** Float64 slots of a block: 16 × 8 bytes, one aligned 128-byte line. */
const BLOCK = 16
/** Descriptors that one shard may have made and not yet handed to Node at one moment. */
export const IN_HAND = 32

export const byteLength = (shards: number): number =>
  (shards + 1) * BLOCK * 8 + READINESS_TASKS.length * 8 + shards * IN_HAND * 4

export interface Layout {
  readonly blocks: Float64Array<SharedArrayBuffer>
  /** 0 while pending, else the milliseconds since process start at which the task finished. */
  readonly readiness: Float64Array<SharedArrayBuffer>
  readonly inHand: Int32Array<SharedArrayBuffer>
}

export const layoutOf = (memory: SharedArrayBuffer, shards: number): Layout => {
  const blocks = (shards + 1) * BLOCK
  return {
    blocks: new Float64Array(memory, 0, blocks),
    readiness: new Float64Array(memory, blocks * 8, READINESS_TASKS.length),
    inHand: new Int32Array(memory, (blocks + READINESS_TASKS.length) * 8, shards * IN_HAND)
  }
}

/** Where `slot` of `shard` is; shard number `shards` is the retired block, where the main thread counts for itself too. */
export const slotIndex = (shard: number, slot: Slot): number => shard * BLOCK + SLOT_OFFSET[slot]

const SLOT_OFFSET = Object.fromEntries(SLOTS.map((slot, index) => [slot, index])) as Record<Slot, number> // keys are SLOTS
