/** How a gRPC call ended when it did not end with an answer. */
import { status } from "@grpc/grpc-js"
import * as Data from "effect/Data"

export class GrpcError extends Data.TaggedError("GrpcError")<{
  /** `host:port`, or the path of a socket. */
  readonly server: string
  /** Of gRPC: 0 for a call that the server ended in order. */
  readonly code: number
  readonly detail: string
}> {
  static readonly of = (server: string, given: { readonly code: number; readonly details: string }) =>
    new GrpcError({ server, code: given.code, detail: reasonIn(given.details) })

  override get message() {
    return `${this.server}: ${status[this.code] ?? this.code}: ${this.detail}${hintOf(this.detail)}`
  }
}

/** What happened, without what the library says around it. */
const reasonIn = (details: string): string =>
  details
    .replace(/^No connection established\. Last error: (?:Error(?: \[\w+\])?: )?/, "")
    .replace(/\. Resolution note: $/, "")

const hintOf = (detail: string): string => {
  const hint = HINTS.find(([symptom]) => symptom.test(detail))
  return hint === undefined ? "" : ` (hint: ${hint[1]})`
}

/** The first two are ztunnel's (reference state §1.7). */
const HINTS: ReadonlyArray<readonly [symptom: RegExp, hint: string]> = [
  [/authentication failure/i, "check the control plane logs for more information"],
  [/EAI_AGAIN|ENOTFOUND|name resolution/i, "is the DNS server reachable?"],
  [/ECONNREFUSED/, "is the control plane running, and is this its address?"],
  [/does not match certificate's altnames/, "an alternative hostname can be given if that is meant"],
  [
    /unable to verify|self-signed certificate|unable to get local issuer/i,
    "is the root certificate the control plane's?"
  ]
]
