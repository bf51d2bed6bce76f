import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { describe as textOf, httpStatus, Reason, responseFlag } from "../../src/domain/connection/ProxyError.ts"

/** One of each kind, with placeholders; a kind that is missing here is a type error. */
const SAMPLES: { readonly [Tag in Reason["_tag"]]: Extract<Reason, { _tag: Tag }> } = {
  SelfCall: Reason.SelfCall(),
  UnknownSourceWorkload: Reason.UnknownSourceWorkload({ workload: "<workload>" }),
  NoHealthyUpstream: Reason.NoHealthyUpstream({ address: "<address>" }),
  NoService: Reason.NoService({ address: "<address>" }),
  NoValidDestination: Reason.NoValidDestination({ workload: "<workload>" }),
  NoPortForService: Reason.NoPortForService({ service: "<service>", port: 80 }),
  UnknownHostname: Reason.UnknownHostname({ hostname: "<hostname>" }),
  UnknownWaypoint: Reason.UnknownWaypoint({ what: "<reference>" }),
  UnknownNetworkGateway: Reason.UnknownNetworkGateway({ what: "<reference>" }),
  NoVip: Reason.NoVip({ service: "<service>" }),
  NoResolvedAddresses: Reason.NoResolvedAddresses({ workload: "<workload>" }),
  PolicyRejected: Reason.PolicyRejected({ by: "<policy>" }),
  PolicyChanged: Reason.PolicyChanged(),
  IpMismatch: Reason.IpMismatch({ connected: "<connected>", authority: "<authority>" }),
  NonConnectMethod: Reason.NonConnectMethod({ method: "<method>" }),
  InvalidAuthority: Reason.InvalidAuthority({ authority: "<authority>" }),
  IdentityUnavailable: Reason.IdentityUnavailable({ identity: "<identity>", detail: "<detail>" }),
  ConnectFailed: Reason.ConnectFailed({ address: "<address>", detail: "<detail>" }),
  HboneConnectTimeout: Reason.HboneConnectTimeout({ address: "<ip>:15008", detail: "<detail>" }),
  TlsFailed: Reason.TlsFailed({ address: "<address>", detail: "<detail>" }),
  Http2Failed: Reason.Http2Failed({ address: "<address>", detail: "<detail>" }),
  HttpStatus: Reason.HttpStatus({ status: 503 }),
  SendFailed: Reason.SendFailed({ detail: "<detail>" }),
  ReceiveFailed: Reason.ReceiveFailed({ detail: "<detail>" }),
  Socks5Failed: Reason.Socks5Failed({ detail: "<detail>" }),
  InternalError: Reason.InternalError(),
  ClosedFromDrain: Reason.ClosedFromDrain()
}

describe("docs/life-of-a-connection.md", () => {
  it("has a row for each reason, with the text, flag and status that it has in the code", () => {
    const document = readFileSync("docs/life-of-a-connection.md", "utf8")
    const [, table = ""] = document.split("| Reason | Text | Flag | Status |\n|---|---|---|---|\n")
    const expected = Object.values(SAMPLES).map(
      (reason) => `| \`${reason._tag}\` | \`${textOf(reason)}\` | \`${responseFlag(reason)}\` | ${httpStatus(reason)} |`
    )
    assert.strictEqual(table.trimEnd(), expected.join("\n"))
  })
})
