/** SPIFFE identities of Kubernetes workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`. */
import * as Data from "effect/Data"
import type * as Brand from "effect/Brand"
import * as Result from "effect/Result"

/** The URI text of an identity, the form in which it is compared and used as a key. */
export type Spiffe = Brand.Branded<string, "Spiffe">

export interface Identity {
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
}

export class IdentityError extends Data.TaggedError("IdentityError")<{ readonly given: string }> {
  override get message() {
    return `${JSON.stringify(this.given)} is not a SPIFFE id of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>`
  }
}

export const formatIdentity = ({ namespace, serviceAccount, trustDomain }: Identity): Spiffe =>
  // the one place where the brand is put on
  `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}` as Spiffe

/** ztunnel's rule (reference datapath §3.2): exactly five parts after the scheme; parts may be empty. */
export const parseIdentity = (uri: string): Result.Result<Identity, IdentityError> => {
  const parts = uri.startsWith(SCHEME) ? uri.slice(SCHEME.length).split("/") : []
  const [trustDomain, ns, namespace, sa, serviceAccount] = parts
  if (parts.length !== 5 || ns !== "ns" || sa !== "sa") return Result.fail(new IdentityError({ given: uri }))
  return Result.succeed({ trustDomain: trustDomain!, namespace: namespace!, serviceAccount: serviceAccount! })
}

const SCHEME = "spiffe://"
