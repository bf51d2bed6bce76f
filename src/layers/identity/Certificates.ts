/**
 * The main thread's authority on certificates: one per identity, asked for at its first use and kept fresh from then on
 * (reference datapath §8.4). One fiber per identity, its keeper, does all the asking, so no two requests for one identity
 * ever run at once. The wall clock decides, not the timer: a timer stands still while a machine sleeps, so it is
 * looked at again every minute and at each use.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { needsRenewal, renewAt, retryDelay } from "../../domain/cert/Rotation.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"
import { CertificateError } from "./CertificateError.ts"
import { Issuer } from "./Issuer.ts"

export class Certificates extends Context.Service<
  Certificates,
  {
    /**
     * A certificate that has not expired. Waits only for a request under way; after one that failed it fails at once,
     * until the next one, which is made after the back-off whether asked for or not.
     */
    readonly get: (identity: Spiffe) => Effect.Effect<CertificateBundle, CertificateError>
    /** Every bundle from now on, the first of an identity too: a shard that was told of a failure must hear of it. */
    readonly rotations: Stream.Stream<CertificateBundle>
  }
>()("weft/layers/identity/Certificates") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const issuer = yield* Issuer
      const hub = yield* Effect.acquireRelease(PubSub.unbounded<CertificateBundle>(), PubSub.shutdown)
      const run = yield* FiberSet.makeRuntime<never>()
      const entries = new Map<Spiffe, Entry>()

      const entryOf = (identity: Spiffe): Entry => {
        const known = entries.get(identity)
        if (known !== undefined) return known
        const entry: Entry = {
          identity,
          bundle: undefined,
          failure: undefined,
          next: Deferred.makeUnsafe(),
          used: Latch.makeUnsafe(false)
        }
        entries.set(identity, entry)
        run(keep(entry, issuer.issue(identity), (bundle) => PubSub.publish(hub, bundle)))
        return entry
      }

      return Certificates.of({
        get: Effect.fnUntraced(function* (identity) {
          const now = yield* Clock.currentTimeMillis
          const entry = entryOf(identity)
          entry.used.openUnsafe()
          if (entry.bundle !== undefined && now < entry.bundle.notAfter) return entry.bundle
          if (entry.failure !== undefined) return yield* Effect.failCause(entry.failure)
          return yield* Deferred.await(entry.next)
        }),
        rotations: Stream.fromPubSub(hub)
      })
    })
  )
}

/** What is known of one identity; only its keeper writes. */
interface Entry {
  readonly identity: Spiffe
  bundle: CertificateBundle | undefined
  /** The last request failed, and its back-off is not over. */
  failure: Cause.Cause<CertificateError> | undefined
  /** The outcome of the request that is under way, or of the next one. */
  next: Deferred.Deferred<CertificateBundle, CertificateError>
  /** Opened by each use: look at the clock now. */
  readonly used: Latch.Latch
}

type Publish = (bundle: CertificateBundle) => Effect.Effect<unknown>

/** Request, tell, wait until it is time for the next: until the layer's Scope closes. */
const keep = (entry: Entry, issue: Effect.Effect<CertificateBundle, CertificateError>, publish: Publish) =>
  Effect.gen(function* () {
    let failures = 0
    while (true) {
      const exit = yield* Effect.exit(Effect.flatMap(issue, refuseExpired))
      const fresh = yield* record(entry, exit)
      if (Exit.isSuccess(exit)) yield* publish(exit.value)
      if (fresh) {
        failures = 0
      } else {
        failures++
        yield* Effect.sleep(retryDelay(failures, yield* Random.next))
        entry.failure = undefined
      }
      yield* untilDue(entry)
    }
  }).pipe(Effect.onInterrupt(() => Deferred.interrupt(entry.next)))

/** A certificate that comes expired, or due for renewal, means that two clocks disagree: the first is of no use at all. */
const refuseExpired = Effect.fnUntraced(function* (bundle: CertificateBundle) {
  if ((yield* Clock.currentTimeMillis) < bundle.notAfter) return bundle
  const detail = `the one just issued expired at ${new Date(bundle.notAfter).toISOString()}: check this machine's clock and the CA's`
  return yield* new CertificateError({ identity: bundle.identity, detail })
})

/** Writes an outcome down and wakes whoever waits for it. Tells whether the next request may wait for its time. */
const record = Effect.fnUntraced(function* (entry: Entry, exit: Exit.Exit<CertificateBundle, CertificateError>) {
  const now = yield* Clock.currentTimeMillis
  const waiters = entry.next
  entry.next = Deferred.makeUnsafe()
  if (Exit.isSuccess(exit)) {
    entry.bundle = exit.value
  } else {
    entry.failure = exit.cause
    yield* entry.bundle !== undefined && now < entry.bundle.notAfter
      ? Effect.logInfo("certificate not renewed, the old one stays in use", { identity: entry.identity }, exit.cause)
      : Effect.logWarning("no certificate", { identity: entry.identity }, exit.cause)
  }
  yield* Deferred.done(waiters, exit)
  return Exit.isSuccess(exit) && !needsRenewal(exit.value, now)
})

const untilDue = Effect.fnUntraced(function* ({ bundle, used }: Entry) {
  if (bundle === undefined) return
  while (true) {
    used.closeUnsafe()
    const now = yield* Clock.currentTimeMillis
    if (needsRenewal(bundle, now)) return
    const wait = Math.min(renewAt(bundle.notBefore, bundle.notAfter) - now, LOOK_AGAIN_MS)
    yield* Effect.raceFirst(Effect.sleep(wait), used.await)
  }
})

const LOOK_AGAIN_MS = 60_000
