/**
 * The certificates that one shard uses. The first use of an identity asks the main thread, with a deadline; from then on
 * the main thread pushes what it renews, and nothing here waits (house rule 1).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"
import { ShardLink } from "../runtime/ShardLink.ts"

export class CertificateReplica extends Context.Service<
  CertificateReplica,
  {
    readonly get: (identity: Spiffe) => Effect.Effect<CertificateBundle, ProxyError>
    readonly put: (bundle: CertificateBundle) => void
    readonly fail: (identity: Spiffe, detail: string) => void
  }
>()("weft/layers/identity/CertificateReplica") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const link = yield* ShardLink
      const bundles = new Map<Spiffe, CertificateBundle>()
      const waiting = new Map<Spiffe, Deferred.Deferred<CertificateBundle, ProxyError>>()
      const unavailable = (identity: Spiffe, detail: string) =>
        proxyError(Reason.IdentityUnavailable({ identity, detail }))

      const ask = (identity: Spiffe) => {
        const asked = waiting.get(identity)
        if (asked !== undefined) return asked
        const answer = Deferred.makeUnsafe<CertificateBundle, ProxyError>()
        waiting.set(identity, answer)
        link.send({ _tag: "NeedCertificate", identity })
        return answer
      }
      const settle = (identity: Spiffe, exit: Exit.Exit<CertificateBundle, ProxyError>) => {
        const answer = waiting.get(identity)
        waiting.delete(identity)
        if (answer !== undefined) Deferred.doneUnsafe(answer, exit)
      }

      return CertificateReplica.of({
        get: (identity) => {
          const bundle = bundles.get(identity)
          if (bundle !== undefined && clock.currentTimeMillisUnsafe() < bundle.notAfter) return Effect.succeed(bundle)
          return Effect.timeoutOrElse(
            Effect.suspend(() => Deferred.await(ask(identity))),
            {
              duration: DEADLINE_MS,
              orElse: () => Effect.fail(unavailable(identity, `no answer within ${DEADLINE_MS / 1000} s`))
            }
          )
        },
        put: (bundle) => {
          bundles.set(bundle.identity, bundle)
          settle(bundle.identity, Exit.succeed(bundle))
        },
        fail: (identity, detail) => settle(identity, Exit.fail(unavailable(identity, detail)))
      })
    })
  )
}

/** As long as ztunnel waits for what a connection needs (reference datapath §10). */
const DEADLINE_MS = 5_000
