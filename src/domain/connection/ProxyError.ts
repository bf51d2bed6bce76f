/**
 * Why a connection did not do what was asked. Each reason knows what the outside sees of it: the response flag
 * (metrics), the status on an HBONE stream, the text in the access log. Texts are ztunnel's where tools match on them
 * (reference datapath §2.9, §4.2, §9.3).
 */
import * as Data from "effect/Data"

/** `istio_tcp_*{response_flags}` (reference datapath §9.1). */
export type ResponseFlag =
  | "-"
  | "DENY"
  | "CONNECT"
  | "TLS_FAILURE"
  | "H2_HANDSHAKE_FAILURE"
  | "NETWORK_POLICY"
  | "IDENTITY_ERROR"
  | "CERT_REVOKED"

/** What happened, as one closed set. Text is for the operator; `detail` and `advice` come from where it happened. */
export type Reason = Data.TaggedEnum<{
  /** The destination is one of our own listeners (reference datapath §1.5). */
  SelfCall: {}
  UnknownSourceWorkload: { readonly workload: string }
  NoHealthyUpstream: { readonly address: string }
  NoService: { readonly address: string }
  NoValidDestination: { readonly workload: string }
  NoPortForService: { readonly service: string; readonly port: number }
  UnknownHostname: { readonly hostname: string }
  /** What its reference names is not there. `what` is the reference. */
  UnknownWaypoint: { readonly what: string }
  UnknownNetworkGateway: { readonly what: string }
  /** A service named by hostname has no address to say in a PROXY header. */
  NoVip: { readonly service: string }
  /** The workload has a hostname and no address, and the name could not be resolved. */
  NoResolvedAddresses: { readonly workload: string }
  /** Authorization: `by` is the DENY policy that matched; undefined: there are ALLOW policies, and none matched. */
  PolicyRejected: { readonly by: string | undefined }
  /** It was allowed, and by the policies of now it is not. */
  PolicyChanged: {}
  IpMismatch: { readonly connected: string; readonly authority: string }
  NonConnectMethod: { readonly method: string }
  InvalidAuthority: { readonly authority: string }
  IdentityUnavailable: { readonly identity: string; readonly detail: string }
  /** `code` is the system's name of it (ECONNREFUSED, ETIMEDOUT, …), where it has one. */
  ConnectFailed: { readonly address: string; readonly detail: string; readonly code?: string | undefined }
  /** A dial to an HBONE port that timed out: most often a NetworkPolicy. */
  HboneConnectTimeout: { readonly address: string; readonly detail: string }
  TlsFailed: { readonly address: string; readonly detail: string }
  Http2Failed: { readonly address: string; readonly detail: string }
  HttpStatus: { readonly status: number }
  /** A copy broke for a reason that is not a plain end of the peer. */
  SendFailed: { readonly detail: string }
  ReceiveFailed: { readonly detail: string }
  Socks5Failed: { readonly detail: string }
  /** A bug of ours; the log has the details. */
  InternalError: {}
  /** The drain deadline passed, or the shard stopped. */
  ClosedFromDrain: {}
}>
export const Reason = Data.taggedEnum<Reason>()

export class ProxyError extends Data.TaggedError("ProxyError")<{ readonly reason: Reason }> {
  override get message() {
    return describe(this.reason)
  }
}

export const proxyError = (reason: Reason): ProxyError => new ProxyError({ reason })

/** The text of the access log's `error` field. */
export const describe: (reason: Reason) => string = Reason.$match({
  SelfCall: () => "attempted recursive call to ourselves",
  UnknownSourceWorkload: ({ workload }) => `unknown source workload: ${workload}`,
  NoHealthyUpstream: ({ address }) => `no healthy upstream: ${address}`,
  NoService: ({ address }) => `no service for target address: ${address}`,
  NoValidDestination: ({ workload }) => `no valid routing destination for workload: ${workload}`,
  NoPortForService: ({ port, service }) => `requested service ${service}:${port} found, but cannot resolve port`,
  UnknownHostname: ({ hostname }) => `no service or workload for hostname: ${hostname}`,
  UnknownWaypoint: ({ what }) => `unknown waypoint: waypoint ${what} not found`,
  UnknownNetworkGateway: ({ what }) => `unknown network gateway: network gateway ${what} not found`,
  NoVip: ({ service }) => `requested service ${service} found, but has no IP addresses`,
  NoResolvedAddresses: ({ workload }) => `no ip addresses were resolved for workload: ${workload}`,
  PolicyRejected: ({ by }) =>
    `connection closed due to policy rejection: ${by === undefined ? "allow policies exist, but none allowed" : `explicitly denied by: ${by}`}`,
  PolicyChanged: () => "connection closed due to policy change",
  IpMismatch: ({ authority, connected }) => `ip mismatch: ${connected} != ${authority}`,
  NonConnectMethod: ({ method }) => `non-CONNECT method: ${method}`,
  InvalidAuthority: ({ authority }) => `invalid CONNECT authority: ${authority}`,
  IdentityUnavailable: ({ detail, identity }) => `identity error: no certificate for ${identity}: ${detail}`,
  ConnectFailed: ({ address, detail }) => `connection failed: ${address}: ${detail}`,
  HboneConnectTimeout: ({ address, detail }) =>
    `connection timed out, maybe a NetworkPolicy is blocking HBONE port ${address.slice(address.lastIndexOf(":") + 1)}: ${address}: ${detail}`,
  TlsFailed: ({ address, detail }) => `tls error: ${address}: ${detail}`,
  Http2Failed: ({ address, detail }) => `http2 handshake failed: ${address}: ${detail}`,
  HttpStatus: ({ status }) => `http status: ${status}`,
  SendFailed: ({ detail }) => `send: ${detail}`,
  ReceiveFailed: ({ detail }) => `receive: ${detail}`,
  Socks5Failed: ({ detail }) => `socks5: ${detail}`,
  InternalError: () => "internal error: this is a bug of weft",
  ClosedFromDrain: () => "connection closed due to connection drain"
})

/** ztunnel's mapping (reference datapath §2.9); a TLS failure is named as one, which ztunnel reports as CONNECT. */
export const responseFlag = (reason: Reason): ResponseFlag => {
  switch (reason._tag) {
    case "ClosedFromDrain":
      return "-"
    case "PolicyRejected":
    case "PolicyChanged":
      return "DENY"
    case "IdentityUnavailable":
      return "IDENTITY_ERROR"
    case "HboneConnectTimeout":
      return "NETWORK_POLICY"
    case "TlsFailed":
      return "TLS_FAILURE"
    case "Http2Failed":
      return "H2_HANDSHAKE_FAILURE"
    default:
      return "CONNECT"
  }
}

/** What an HBONE client is answered (reference datapath §4.2). */
export const httpStatus = (reason: Reason): 400 | 401 | 503 => {
  switch (reason._tag) {
    case "NonConnectMethod":
    case "InvalidAuthority":
    case "IpMismatch":
      return 400
    case "PolicyRejected":
      return 401
    default:
      return 503
  }
}
