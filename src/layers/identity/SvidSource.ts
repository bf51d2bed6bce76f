/** One of the two APIs of SPIRE's agent, as the issuer behind `layerSpire` uses it. */
import type * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type { Spiffe } from "../../domain/Identity.ts"
import type { GrpcError } from "../grpc/GrpcError.ts"

/** What the agent gives for an identity; certificates are DER, one after the other. */
export interface Svid {
  /** The leaf, then intermediates. */
  readonly chain: Uint8Array
  /** PKCS#8, DER. */
  readonly key: Uint8Array
  /** Of the identity's own trust domain. */
  readonly roots: Uint8Array
}

export interface SvidSource {
  /** Waits until the agent has said something of the identity, for some seconds; fails with its refusal. */
  readonly heard: (identity: Spiffe) => Effect.Effect<void, GrpcError>
  /** Of what the agent said last; or what it says instead, and what to do. */
  readonly given: (identity: Spiffe) => Result.Result<Svid, string>
  readonly forget: (identity: Spiffe) => Effect.Effect<void>
  /** What to do when nothing was heard. */
  readonly advice: (identity: Spiffe, failure: GrpcError) => string
}
