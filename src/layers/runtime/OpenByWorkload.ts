/**
 * How many outbound connections of this shard are open to each workload: what balancing by load compares. One for each
 * thread, whichever listener a connection came in by. A workload to which none is open takes no memory.
 */
import * as Context from "effect/Context"

export interface OpenByWorkload {
  readonly of: (uid: string) => number
  readonly opened: (uid: string) => void
  /** Once for each `opened`. */
  readonly closed: (uid: string) => void
  /** Workloads to which any is open. */
  readonly size: () => number
}

export const makeOpenByWorkload = (): OpenByWorkload => {
  const counts = new Map<string, number>()
  const of = (uid: string) => counts.get(uid) ?? 0
  return {
    of,
    opened: (uid) => void counts.set(uid, of(uid) + 1),
    closed: (uid) => {
      if (of(uid) > 1) counts.set(uid, of(uid) - 1)
      else counts.delete(uid)
    },
    size: () => counts.size
  }
}

export const OpenByWorkload: Context.Reference<OpenByWorkload> = Context.Reference(
  "weft/layers/runtime/OpenByWorkload",
  {
    defaultValue: makeOpenByWorkload
  }
)
