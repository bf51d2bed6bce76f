import { assert, describe, it } from "@effect/vitest"
import { ipUnsafe, type SocketAddress } from "../../../src/domain/Address.ts"
import { completeLine, deniedLine, openedLine } from "../../../src/domain/connection/AccessLine.ts"
import type { ConnectionRecord } from "../../../src/domain/connection/ConnectionRecord.ts"
import { Reason } from "../../../src/domain/connection/ProxyError.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import { formatLine } from "../../../src/domain/observe/LogLine.ts"
import { service, workload } from "../../support/meshes.ts"

const at = (ip: string, port: number): SocketAddress => ({ ip: ipUnsafe(ip), port })
const identity = (namespace: string, serviceAccount: string) =>
  formatIdentity({ trustDomain: "cluster.local", namespace, serviceAccount })
const client = workload("cli-1", ["10.1.0.5"], { namespace: "a", serviceAccount: "cli" })
const server = workload("web-1", ["10.1.0.9"], { namespace: "b", serviceAccount: "web" })
const web = service("web", ["10.2.0.1"], { namespace: "b", hostname: "web.b.svc.cluster.local" })

const outbound: ConnectionRecord = {
  reporter: "source",
  source: at("10.1.0.5", 40001),
  destination: at("10.1.0.9", 15008),
  startedAt: 1_000,
  hboneAuthority: "10.1.0.9:8080",
  sourceWorkload: client,
  sourceBaggage: undefined,
  sourceIdentity: identity("a", "cli"),
  destinationWorkload: server,
  destinationBaggage: undefined,
  destinationIdentity: undefined,
  service: web,
  mutualTls: true,
  received: 11,
  sent: 22,
  reset: false
}
/** Nothing is known but where it came from. */
const bare: ConnectionRecord = {
  ...outbound,
  destination: at("192.0.2.1", 80),
  hboneAuthority: undefined,
  sourceWorkload: undefined,
  sourceIdentity: undefined,
  destinationWorkload: undefined,
  service: undefined,
  mutualTls: false
}
const complete = { _tag: "Complete" } as const

const plain = (line: ReturnType<typeof completeLine>): string =>
  formatLine("plain", { ...line, time: Date.UTC(2026, 0, 2, 3, 4, 5) + 26 / 4096, target: "access" })

describe("the line of a finished connection", () => {
  it("is, outbound, the example of reference datapath §9.2", () => {
    assert.strictEqual(
      plain(completeLine(outbound, complete, 1_013)),
      "2026-01-02T03:04:05.000006Z\tinfo\taccess\tconnection complete\tsrc.addr=10.1.0.5:40001 " +
        'src.workload="cli-1" src.namespace="a" src.identity="spiffe://cluster.local/ns/a/sa/cli" ' +
        'src.cluster="Kubernetes" dst.addr=10.1.0.9:15008 dst.hbone_addr=10.1.0.9:8080 ' +
        'dst.service="web.b.svc.cluster.local" dst.workload="web-1" dst.namespace="b" ' +
        'dst.identity="spiffe://cluster.local/ns/b/sa/web" dst.cluster="Kubernetes" direction="outbound" ' +
        'bytes_sent=11 bytes_recv=22 duration="13ms"\n'
    )
  })

  it("counts, inbound, the answer as sent and the request as received", () => {
    const { fields } = completeLine({ ...outbound, reporter: "destination" }, complete, 1_013)
    assert.deepStrictEqual(fields.slice(-4), [
      ["direction", "inbound"],
      ["bytes_sent", 22],
      ["bytes_recv", 11],
      ["duration", "13ms"]
    ])
  })

  it("leaves out what is not known, identities above all without mutual TLS", () => {
    assert.deepStrictEqual(
      completeLine(bare, complete, 1_000.4).fields.map(([key]) => key),
      ["src.addr", "dst.addr", "direction", "bytes_sent", "bytes_recv", "duration"]
    )
    const { fields } = completeLine({ ...outbound, mutualTls: false }, complete, 1_000)
    assert.isFalse(fields.some(([key]) => key.endsWith(".identity")))
  })

  it("has whole milliseconds, and none when the clock went back", () => {
    assert.deepInclude(completeLine(bare, complete, 1_012.6).fields, ["duration", "13ms"])
    assert.deepInclude(completeLine(bare, complete, 900).fields, ["duration", "0ms"])
  })

  it("is an error with its text in the last field when the connection failed", () => {
    const reason = Reason.ConnectFailed({ address: "10.1.0.9:15008", detail: "connect ECONNREFUSED" })
    const line = completeLine(outbound, { _tag: "Failed", reason }, 1_001)
    assert.strictEqual(line.level, "error")
    assert.strictEqual(line.message, "connection complete")
    assert.deepStrictEqual(line.fields.at(-1), ["error", "connection failed: 10.1.0.9:15008: connect ECONNREFUSED"])
  })

  it("names a workload without a name by its canonical service", () => {
    const nameless = workload("", ["10.1.0.5"], { canonicalName: "cli" })
    assert.deepInclude(completeLine({ ...outbound, sourceWorkload: nameless }, complete, 0).fields, [
      "src.workload",
      "cli"
    ])
  })

  it("tells a source that the mesh does not know by its baggage", () => {
    const sourceBaggage = { clusterName: "far", namespace: "a", workloadName: "deploy", serviceName: "cli" }
    const { fields } = completeLine({ ...bare, sourceBaggage }, complete, 0)
    assert.deepStrictEqual(fields.slice(1, 4), [
      ["src.workload", "cli"],
      ["src.namespace", "a"],
      ["src.cluster", "far"]
    ])
  })
})

describe("the line of a connection to another network", () => {
  /** Through a gateway: nothing of the far end is known from the mesh. */
  const far: ConnectionRecord = {
    ...outbound,
    destination: at("192.0.2.1", 15009),
    hboneAuthority: "web.b.svc.cluster.local:80",
    destinationWorkload: undefined
  }
  const destinationOf = (record: ConnectionRecord) =>
    completeLine(record, complete, 0).fields.filter(([key]) => key.startsWith("dst."))

  it("names the far end by what it says of itself and what it has proved", () => {
    const answered = {
      ...far,
      destinationIdentity: identity("b", "remote"),
      destinationBaggage: { clusterName: "east", namespace: "b", workloadName: "web-v2", serviceName: "web" }
    }
    assert.deepStrictEqual(destinationOf(answered), [
      ["dst.addr", { bare: "192.0.2.1:15009" }],
      ["dst.hbone_addr", { bare: "web.b.svc.cluster.local:80" }],
      ["dst.service", "web.b.svc.cluster.local"],
      ["dst.workload", "web"],
      ["dst.namespace", "b"],
      ["dst.identity", "spiffe://cluster.local/ns/b/sa/remote"],
      ["dst.cluster", "east"]
    ])
    const nameless = { ...answered, destinationBaggage: { workloadName: "web-v2" } }
    assert.deepInclude(destinationOf(nameless), ["dst.workload", "web-v2"])
  })

  it("says nothing of a far end that was not reached, or said nothing", () => {
    assert.deepStrictEqual(
      destinationOf({ ...far, destinationBaggage: {} }).map(([key]) => key),
      ["dst.addr", "dst.hbone_addr", "dst.service"]
    )
  })
})

describe("the other lines", () => {
  it("an opened connection has the same fields without counts, at debug", () => {
    const line = openedLine(outbound)
    assert.strictEqual(line.level, "debug")
    assert.strictEqual(line.message, "connection opened")
    assert.deepStrictEqual(line.fields, completeLine(outbound, complete, 0).fields.slice(0, -3))
  })

  it("a denied one has addresses, direction and error alone, at warn", () => {
    assert.strictEqual(
      plain(deniedLine("destination", at("10.1.0.5", 40001), at("::1", 15008), Reason.SelfCall())),
      "2026-01-02T03:04:05.000006Z\twarn\taccess\tconnection failed\tsrc.addr=10.1.0.5:40001 dst.addr=[::1]:15008 " +
        'direction="inbound" error="attempted recursive call to ourselves"\n'
    )
    assert.deepStrictEqual(
      deniedLine("source", undefined, undefined, Reason.SelfCall()).fields.map(([key]) => key),
      ["direction", "error"]
    )
  })
})
