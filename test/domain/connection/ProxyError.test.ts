import { assert, describe, it } from "@effect/vitest"
import {
  describe as text,
  httpStatus,
  proxyError,
  Reason,
  responseFlag
} from "../../../src/domain/connection/ProxyError.ts"

const hop = "10.1.0.9:15008"
/** Every reason with what the outside sees of it: text, flag, status. */
const TABLE: ReadonlyArray<readonly [Reason, string, string, number]> = [
  [Reason.SelfCall(), "attempted recursive call to ourselves", "CONNECT", 503],
  [Reason.UnknownSourceWorkload({ workload: "sa.ns (n)" }), "unknown source workload: sa.ns (n)", "CONNECT", 503],
  [Reason.NoHealthyUpstream({ address: hop }), `no healthy upstream: ${hop}`, "CONNECT", 503],
  [Reason.NoService({ address: hop }), `no service for target address: ${hop}`, "CONNECT", 503],
  [Reason.NoValidDestination({ workload: "w" }), "no valid routing destination for workload: w", "CONNECT", 503],
  [
    Reason.NoPortForService({ service: "s", port: 80 }),
    "requested service s:80 found, but cannot resolve port",
    "CONNECT",
    503
  ],
  [Reason.UnknownHostname({ hostname: "h" }), "no service or workload for hostname: h", "CONNECT", 503],
  [Reason.UnknownWaypoint({ what: "a/b" }), "unknown waypoint: waypoint a/b not found", "CONNECT", 503],
  [
    Reason.UnknownNetworkGateway({ what: "a/b" }),
    "unknown network gateway: network gateway a/b not found",
    "CONNECT",
    503
  ],
  [Reason.NoVip({ service: "s" }), "requested service s found, but has no IP addresses", "CONNECT", 503],
  [Reason.NoResolvedAddresses({ workload: "w" }), "no ip addresses were resolved for workload: w", "CONNECT", 503],
  [
    Reason.PolicyRejected({ by: "shop/deny" }),
    "connection closed due to policy rejection: explicitly denied by: shop/deny",
    "DENY",
    401
  ],
  [
    Reason.PolicyRejected({ by: undefined }),
    "connection closed due to policy rejection: allow policies exist, but none allowed",
    "DENY",
    401
  ],
  [Reason.PolicyChanged(), "connection closed due to policy change", "DENY", 503],
  [
    Reason.IpMismatch({ connected: "10.0.0.1", authority: "10.0.0.2" }),
    "ip mismatch: 10.0.0.1 != 10.0.0.2",
    "CONNECT",
    400
  ],
  [Reason.NonConnectMethod({ method: "GET" }), "non-CONNECT method: GET", "CONNECT", 400],
  [Reason.InvalidAuthority({ authority: "x" }), "invalid CONNECT authority: x", "CONNECT", 400],
  [
    Reason.IdentityUnavailable({ identity: "i", detail: "d" }),
    "identity error: no certificate for i: d",
    "IDENTITY_ERROR",
    503
  ],
  [Reason.ConnectFailed({ address: hop, detail: "d" }), `connection failed: ${hop}: d`, "CONNECT", 503],
  [
    Reason.HboneConnectTimeout({ address: "[fd00::1]:15008", detail: "timed out" }),
    "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: [fd00::1]:15008: timed out",
    "NETWORK_POLICY",
    503
  ],
  [Reason.TlsFailed({ address: hop, detail: "d" }), `tls error: ${hop}: d`, "TLS_FAILURE", 503],
  [Reason.Http2Failed({ address: hop, detail: "d" }), `http2 handshake failed: ${hop}: d`, "H2_HANDSHAKE_FAILURE", 503],
  [Reason.HttpStatus({ status: 503 }), "http status: 503", "CONNECT", 503],
  [Reason.SendFailed({ detail: "d" }), "send: d", "CONNECT", 503],
  [Reason.ReceiveFailed({ detail: "d" }), "receive: d", "CONNECT", 503],
  [Reason.Socks5Failed({ detail: "d" }), "socks5: d", "CONNECT", 503],
  [Reason.ClosedFromDrain(), "connection closed due to connection drain", "-", 503]
]

describe("a reason", () => {
  it.each(TABLE)("%j is seen as %s, %s, %d", (reason, expected, flag, status) => {
    assert.strictEqual(text(reason), expected)
    assert.strictEqual(proxyError(reason).message, expected)
    assert.strictEqual(responseFlag(reason), flag)
    assert.strictEqual(httpStatus(reason), status)
  })
})
