/** Reading the first bytes of a connection, before there is anyone to relay them to. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Conduit } from "./Conduit.ts"
import type { TcpConduit } from "./TcpConduit.ts"

export interface HandshakeLimits {
  readonly bytes: number
  readonly timeMs: number
}

/**
 * Feeds `decide` all bytes so far until it answers; then the conduit is held again. Otherwise says why not: the peer
 * ended first, took too long, or sent too much that decides nothing.
 */
export const readUntil = <A>(
  conduit: TcpConduit,
  limits: HandshakeLimits,
  decide: (bytes: Buffer) => A | undefined
): Effect.Effect<A, HandshakeError> =>
  Effect.callback<A, HandshakeError>((resume) => {
    let bytes = NOTHING
    const done = (answer: Effect.Effect<A, HandshakeError>) => {
      clearTimeout(timer)
      conduit.hold()
      resume(answer)
    }
    const fail = (detail: string) => done(Effect.fail(new HandshakeError({ detail })))
    const timer = setTimeout(() => fail(`not complete within ${limits.timeMs} ms`), limits.timeMs)
    const closed = () => fail("the client closed before it was complete")
    conduit.watch({ eof: closed, gone: closed })
    conduit.pump(
      sink((chunk) => {
        bytes = Buffer.concat([bytes, chunk])
        const answer = decide(bytes)
        if (answer !== undefined) done(Effect.succeed(answer))
        else if (bytes.length > limits.bytes) fail(`more than ${limits.bytes} bytes`)
      }),
      ignore
    )
    return Effect.sync(() => {
      clearTimeout(timer)
      conduit.hold()
    })
  })

export class HandshakeError extends Data.TaggedError("HandshakeError")<{ readonly detail: string }> {}

const NOTHING = Buffer.alloc(0)
const ignore = () => {}

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
