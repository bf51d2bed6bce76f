/** Reading the first bytes of a connection, before there is anyone to relay them to. */
import * as Effect from "effect/Effect"
import type { Conduit } from "./Conduit.ts"
import type { TcpConduit } from "./TcpConduit.ts"

/**
 * Feeds `decide` all bytes so far (beginning with `before`) until it answers; then the conduit is held again. Undefined
 * when the peer ends first, or sends more than `limit` bytes that decide nothing.
 */
export const readUntil = <A>(
  conduit: TcpConduit,
  before: Buffer,
  limit: number,
  decide: (bytes: Buffer) => A | undefined
): Effect.Effect<A | undefined> =>
  Effect.callback<A | undefined>((resume) => {
    let bytes = before
    const done = (answer: A | undefined) => {
      conduit.hold()
      resume(Effect.succeed(answer))
    }
    const first = bytes.length > 0 ? decide(bytes) : undefined
    if (first !== undefined) return done(first)
    conduit.watch({ eof: () => done(undefined), gone: () => done(undefined) })
    conduit.pump(
      sink((chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        const answer = decide(bytes)
        if (answer !== undefined || bytes.length > limit) done(answer)
      }),
      () => {}
    )
    return Effect.sync(() => conduit.hold())
  })

/** A conduit that only takes. */
const sink = (take: (chunk: Buffer) => void): Conduit => ({
  watch: () => {},
  pump: () => {},
  write: (chunk) => {
    take(chunk)
    return true
  },
  gather: () => {},
  congested: () => false,
  end: () => {},
  finish: () => {},
  reset: () => {},
  destroy: () => {}
})
