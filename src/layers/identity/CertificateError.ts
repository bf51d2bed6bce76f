/** Why there is no certificate for an identity. Reaches the data path as `IdentityUnavailable` (reference datapath §8.4). */
import * as Data from "effect/Data"
import type { Spiffe } from "../../domain/Identity.ts"

export class CertificateError extends Data.TaggedError("CertificateError")<{
  readonly identity: Spiffe
  readonly detail: string
}> {
  override get message() {
    return `no certificate for ${this.identity}: ${this.detail}`
  }
}
