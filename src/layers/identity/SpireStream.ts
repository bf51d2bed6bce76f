/**
 * A stream of SPIRE's agent, opened again whenever it ends. What the agent said last stays true while it is away; its
 * refusal is a word too, and takes back what it said before.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { backoffDelay } from "../../domain/Backoff.ts"
import type { Incoming } from "../grpc/GrpcClient.ts"
import { GrpcError } from "../grpc/GrpcError.ts"

export interface SpireStream<A> {
  /** Waits for the agent's first word. Fails with its refusal, or, after some seconds, with why there is no word of it. */
  readonly heard: Effect.Effect<void, GrpcError>
  /** The last message, unless the agent has refused since. */
  readonly current: () => A | undefined
  /** Keeps the stream open. */
  readonly run: Effect.Effect<never>
}

export const makeSpireStream = <A>(
  server: string,
  open: Effect.Effect<Incoming<A>, GrpcError, Scope.Scope>,
  onMessage: () => void
): SpireStream<A> => {
  const word = Latch.makeUnsafe(false)
  let message: A | undefined
  let refusal: GrpcError | undefined
  let trouble: GrpcError | undefined

  const listen = Effect.flatMap(open, ({ next }) =>
    Effect.forever(
      Effect.flatMap(next, (given) =>
        Effect.suspend(() => {
          const wasAway = trouble !== undefined
          message = given
          refusal = trouble = undefined
          word.openUnsafe()
          onMessage()
          return wasAway ? Effect.logInfo(`SPIRE's agent at ${server} answers again`) : Effect.void
        })
      )
    )
  )
  const ended = (error: GrpcError) =>
    Effect.suspend(() => {
      const known = trouble?.message === error.message
      trouble = error
      if (REFUSALS.has(error.code)) {
        message = undefined
        refusal = error
        word.openUnsafe()
      }
      return known ? Effect.void : Effect.logWarning(`a stream of SPIRE's agent ended: ${error.message}`)
    })
  const run = Effect.gen(function* () {
    let failures = 0
    while (true) {
      const opened = yield* Clock.currentTimeMillis
      const error = yield* Effect.flip(Effect.scoped(listen))
      yield* ended(error)
      // a stream that ends as soon as it has begun is no success, whatever came on it
      failures = (yield* Clock.currentTimeMillis) - opened >= STEADY_MS ? 1 : failures + 1
      yield* Effect.sleep(backoffDelay(REOPEN, failures, yield* Random.next))
    }
  })

  return {
    heard: Latch.await(word).pipe(
      Effect.andThen(Effect.suspend(() => (refusal === undefined ? Effect.void : Effect.fail(refusal)))),
      Effect.timeoutOrElse({
        duration: FIRST_WORD_MS,
        orElse: () => Effect.fail(trouble ?? GrpcError.of(server, NO_WORD))
      })
    ),
    current: () => message,
    run
  }
}

/** As gRPC numbers them. */
export const PERMISSION_DENIED = 7
export const UNIMPLEMENTED = 12
const [INVALID_ARGUMENT, UNAUTHENTICATED] = [3, 16]

/** The agent is there, and does not want to. */
const REFUSALS: ReadonlySet<number> = new Set([INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED])

/** What to do when the agent cannot be asked. */
export const AWAY = "is SPIRE's agent running on this node, and its socket mounted here?"

const STEADY_MS = 1_000
const REOPEN = { firstMs: 10, mostMs: 30_000 }

/** A little less than a shard waits for a certificate, so that it hears why there is none. */
const FIRST_WORD_MS = 4_500
const NO_WORD = { code: 4, details: `the agent says nothing for ${FIRST_WORD_MS / 1000} s` }
