/**
 * Whoever gives out certificates: the one seam behind `Certificates`, which asks, keeps and renews. The embedded CA, Istio's
 * CA, files and SPIRE's agent each provide it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"
import type { CertificateError } from "./CertificateError.ts"

export class Issuer extends Context.Service<
  Issuer,
  {
    /** A certificate of now. Bounded in time; several may be asked for at once, but not two for one identity. */
    readonly issue: (identity: Spiffe) => Effect.Effect<CertificateBundle, CertificateError>
    /** Identities for which `issue` answers something new, whatever the age of what it answered before. */
    readonly changed: Stream.Stream<Spiffe>
    /** Nobody needs it any more, until it is issued again. */
    readonly forget: (identity: Spiffe) => Effect.Effect<void>
  }
>()("weft/layers/identity/Issuer") {}
