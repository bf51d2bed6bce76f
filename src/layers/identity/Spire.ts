/**
 * Certificates (X.509-SVIDs) from SPIRE's agent on this node, over its unix socket: with the SPIFFE Workload API those that
 * this process itself is entitled to, with the Delegated Identity API those of the workloads that it serves. The agent
 * renews them and tells; nothing is asked for twice.
 */
import { createHash } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { splitSequences } from "../../domain/cert/Der.ts"
import type { IssuerSettings } from "../../domain/config/ControlPlane.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import { CertificateError } from "./CertificateError.ts"
import { issuedBundle } from "./IssuedBundle.ts"
import { Issuer } from "./Issuer.ts"
import { delegatedIdentity } from "./SpireDelegated.ts"
import { workloadApi } from "./SpireWorkload.ts"
import type { Svid, SvidSource } from "./SvidSource.ts"

export const layerSpire = ({
  delegated,
  socketPath
}: Omit<Extract<IssuerSettings, { readonly _tag: "Spire" }>, "_tag">) =>
  Layer.effect(Issuer, make(socketPath, delegated ? delegatedIdentity : workloadApi))

/** `told` is called after each message of the agent. */
type MakeSource = (socketPath: string, told: () => void) => Effect.Effect<SvidSource, never, Scope.Scope>

const make = Effect.fnUntraced(function* (socketPath: string, makeSource: MakeSource) {
  const hub = yield* Effect.acquireRelease(PubSub.unbounded<Spiffe>(), PubSub.shutdown)
  // what was answered last, to tell news from what the agent only says again
  const answered = new Map<Spiffe, string>()
  const source = yield* makeSource(socketPath, () => {
    for (const [identity, before] of answered) {
      const now = digestOf(source.given(identity))
      // what is taken back is no news: the certificate in use stays until it expires
      if (now === NOTHING || now === before) continue
      answered.set(identity, now)
      PubSub.publishUnsafe(hub, identity)
    }
  })
  return Issuer.of({
    issue: Effect.fnUntraced(function* (identity) {
      const heard = yield* Effect.result(source.heard(identity))
      const now = yield* Clock.currentTimeMillis
      return yield* Effect.suspend(() => {
        // one step: a message that came in between would be compared with an older answer
        const svid = source.given(identity)
        answered.set(identity, digestOf(svid))
        const refuse = (detail: string) => new CertificateError({ identity, detail: `from SPIRE's agent: ${detail}` })
        if (Result.isSuccess(heard)) return Effect.fromResult(bundleOf(identity, svid, refuse, now))
        return Effect.fail(refuse(`${heard.failure.message}; ${source.advice(identity, heard.failure)}`))
      })
    }),
    changed: Stream.fromPubSub(hub),
    forget: (identity) =>
      Effect.suspend(() => {
        answered.delete(identity)
        return source.forget(identity)
      })
  })
})

const bundleOf = (
  identity: Spiffe,
  given: Result.Result<Svid, string>,
  refuse: (detail: string) => CertificateError,
  now: number
) =>
  Result.gen(function* () {
    const svid = yield* Result.mapError(given, refuse)
    const certificates = (what: string, der: Uint8Array) =>
      Result.mapError(splitSequences(der), (error) => refuse(`${what}: ${error.message}`))
    return yield* issuedBundle(
      identity,
      {
        chain: yield* certificates(FROM.chain, svid.chain),
        key: svid.key,
        roots: yield* certificates(FROM.roots, svid.roots),
        from: FROM
      },
      now
    )
  })

const digestOf = (given: Result.Result<Svid, string>): string => {
  if (Result.isFailure(given)) return NOTHING
  const { chain, key, roots } = given.success
  const hash = createHash("sha256")
  for (const part of [chain, key, roots]) hash.update(`${part.length} `).update(part)
  return hash.digest("base64")
}

const NOTHING = ""
const FROM = { chain: "the SVID of SPIRE's agent", key: "its key", roots: "the bundle of SPIRE's agent" }
