/**
 * The pair of copies between two conduits: one parked callback that watches both directions. An orderly end of one side
 * half-closes the other and the opposite direction goes on; a reset of one becomes a reset of the other; anything else
 * cuts both. It ends when both conduits are gone; interrupted, it resets both (house.md §2 "Relay").
 */
import * as Effect from "effect/Effect"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Conduit, Gone } from "./Conduit.ts"

export interface Conduits {
  readonly downstream: Conduit
  readonly upstream: Conduit
  /** What the downstream peer sent before its time (behind a SOCKS5 request). */
  readonly early?: Buffer | undefined
}

export interface Tally {
  /** Bytes that the downstream peer sent and the upstream was given. */
  readonly received: (bytes: number) => void
  readonly sent: (bytes: number) => void
}

export type RelayEnd = "ended" | "reset"

export const relay = (
  { downstream, early, upstream }: Conduits,
  { received, sent }: Tally
): Effect.Effect<RelayEnd, ProxyError> =>
  Effect.callback<RelayEnd, ProxyError>((resume) => {
    const ends = { downstream: false, upstream: false }
    let open = 2
    let cause: Effect.Effect<RelayEnd, ProxyError> | undefined
    const watch = (side: keyof typeof ends, self: Conduit, peer: Conduit, failed: (detail: string) => Reason) =>
      self.watch({
        eof: () => {
          ends[side] = true
          peer.end()
        },
        gone: (how: Gone) => {
          open -= 1
          if (how._tag === "Reset") cause ??= Effect.succeed("reset")
          if (how._tag === "Failed") cause ??= Effect.fail(proxyError(failed(how.detail)))
          if (how._tag !== "Closed") self.destroy()
          // gone without having said its end: what its peer has must not look complete
          if (how._tag !== "Closed" || !ends[side]) peer.reset()
          else if (!ends.downstream || !ends.upstream) peer.finish()
          if (open === 0) resume(cause ?? Effect.succeed("ended"))
        }
      })
    watch("downstream", downstream, upstream, (detail) => Reason.SendFailed({ detail }))
    watch("upstream", upstream, downstream, (detail) => Reason.ReceiveFailed({ detail }))
    if (early !== undefined && early.length > 0) {
      upstream.write(early, () => {})
      received(early.length)
    }
    downstream.pump(upstream, received)
    upstream.pump(downstream, sent)
    return Effect.sync(() => {
      downstream.reset()
      upstream.reset()
    })
  })
