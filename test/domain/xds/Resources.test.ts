import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { encodePolicy, encodeService, encodeWorkload } from "../../../src/domain/xds/Encode.ts"
import * as Security from "../../../src/domain/xds/gen/authorization_pb.ts"
import * as Wire from "../../../src/domain/xds/gen/workload_pb.ts"
import { decodeAddress, decodePolicy, MAX_RESOURCE_BYTES } from "../../../src/domain/xds/Resources.ts"
import { anyPolicy, anyService, anyWorkload } from "../../support/anyResources.ts"
import { bytes, integer, THOROUGH } from "../../support/hostileInput.ts"
import { policy, service, workload } from "../../support/meshes.ts"

type WorkloadInit = MessageInitShape<typeof Wire.WorkloadSchema>
type ServiceInit = MessageInitShape<typeof Wire.ServiceSchema>
type PolicyInit = MessageInitShape<typeof Security.AuthorizationSchema>
type MatchInit = MessageInitShape<typeof Security.MatchSchema>

const addressBytes = (type: MessageInitShape<typeof Wire.AddressSchema>["type"] & {}) =>
  toBinary(Wire.AddressSchema, create(Wire.AddressSchema, { type }))

const workloadBytes = (wire: WorkloadInit) => addressBytes({ case: "workload", value: { uid: "u", ...wire } })
const serviceBytes = (wire: ServiceInit) => addressBytes({ case: "service", value: wire })
const policyBytes = (wire: PolicyInit) =>
  toBinary(Security.AuthorizationSchema, create(Security.AuthorizationSchema, wire))
const matchBytes = (match: MatchInit) => policyBytes({ rules: [{ clauses: [{ matches: [match] }] }] })

const decodedWorkload = (bytes: Uint8Array) => {
  const resource = Result.getOrThrow(decodeAddress(bytes))
  return resource._tag === "Workload" ? resource.workload : assert.fail("a service")
}

const decodedService = (bytes: Uint8Array) => {
  const resource = Result.getOrThrow(decodeAddress(bytes))
  return resource._tag === "Service" ? resource.service : assert.fail("a workload")
}

const decodedMatch = (match: MatchInit) =>
  Result.getOrThrow(decodePolicy("shop/p", matchBytes(match))).rules[0]?.[0]?.[0]

const reasonOf = <A>(result: Result.Result<A, { readonly reason: string }>) =>
  Result.isFailure(result) ? result.failure.reason : "taken"

const V4 = Uint8Array.of(10, 0, 0, 1)
const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1)

describe("a workload from the wire", () => {
  it("of which little is said has the defaults of the control plane", () => {
    const { uid, ...rest } = decodedWorkload(workloadBytes({ name: "a", namespace: "shop", node: "n1" }))
    const { uid: _, ...expected } = workload("a", [], { protocol: "TCP" })
    assert.strictEqual(uid, "u")
    assert.deepStrictEqual(rest, expected)
  })

  it("keeps what looks like nothing but is said: no capacity", () => {
    assert.strictEqual(decodedWorkload(workloadBytes({ capacity: 0 })).capacity, 0)
    assert.strictEqual(decodedWorkload(workloadBytes({ capacity: 7 })).capacity, 7)
  })

  it("has addresses in their one spelling", () => {
    const v6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert.deepStrictEqual(
      decodedWorkload(workloadBytes({ addresses: [V4, MAPPED, v6] })).ips,
      ["10.0.0.1", "10.0.0.1", "2001:db8::1"].map(ipUnsafe)
    )
  })

  it("has the last of equal service ports, and no tunnel port where that is 0", () => {
    const ports = [
      { servicePort: 80, targetPort: 1 },
      { servicePort: 80, targetPort: 2 }
    ]
    const found = decodedWorkload(
      workloadBytes({ services: { "shop/web": { ports } }, applicationTunnel: { protocol: 1, port: 0 } })
    )
    assert.deepStrictEqual(found.services, new Map([["shop/web", new Map([[80, 2]])]]))
    assert.deepStrictEqual(found.applicationTunnel, { protocol: "PROXY", port: undefined })
  })

  it("has a gateway by address, without its length, or by hostname", () => {
    const found = decodedWorkload(
      workloadBytes({
        waypoint: {
          destination: { case: "address", value: { network: "net1", address: V4, length: 8 } },
          hboneMtlsPort: 15008
        },
        networkGateway: { destination: { case: "hostname", value: { namespace: "istio", hostname: "gw.example" } } }
      })
    )
    assert.deepStrictEqual(found.waypoint, {
      destination: { _tag: "Address", network: "net1", ip: ipUnsafe("10.0.0.1") },
      hboneMtlsPort: 15008
    })
    assert.deepStrictEqual(found.networkGateway, {
      destination: { _tag: "Hostname", namespace: "istio", hostname: "gw.example" },
      hboneMtlsPort: 0
    })
  })

  it("of a type that we do not know is a deployment", () => {
    const typeOf = (number: number) => decodedWorkload(workloadBytes(withEnum("workloadType", number))).workloadType
    assert.deepStrictEqual([0, 1, 2, 3, 4, -1].map(typeOf), [
      "deployment",
      "cronjob",
      "pod",
      "job",
      "deployment",
      "deployment"
    ])
  })

  const gatewayless = { hboneMtlsPort: 15008 }
  const ports = (servicePort: number, targetPort: number) => ({ "shop/web": { ports: [{ servicePort, targetPort }] } })
  it.each<readonly [string, WorkloadInit]>([
    ["a workload needs a uid", { uid: "" }],
    ["failed to parse address, had 0 bytes", { addresses: [new Uint8Array(0)] }],
    ["failed to parse address, had 5 bytes", { addresses: [V4, new Uint8Array(5)] }],
    ["unknown enum: unsupported tunnel protocol: legacy istio mtls", { tunnelProtocol: 2 }],
    ["decode error: unknown enumeration value 3 of tunnel_protocol", withEnum("tunnelProtocol", 3)],
    ["decode error: unknown enumeration value 2 of network_mode", withEnum("networkMode", 2)],
    ["decode error: unknown enumeration value -1 of status", withEnum("status", -1)],
    [
      "decode error: unknown enumeration value 2 of application_tunnel.protocol",
      { applicationTunnel: withEnum("protocol", 2) }
    ],
    ["failed to parse namespaced hostname: web", { services: { web: {} } }],
    ["there is no port 65536", { services: ports(65536, 80) }],
    ["there is no port 70000", { services: ports(80, 70000) }],
    ["there is no port 65616", { applicationTunnel: { port: 65616 } }],
    ["nonempty gateway address is missing address", { waypoint: gatewayless }],
    ["nonempty gateway address is missing address", { networkGateway: {} }],
    [
      "failed to parse address, had 3 bytes",
      { waypoint: { destination: { case: "address", value: { address: new Uint8Array(3) } } } }
    ],
    [
      "there is no port 4294967295",
      { waypoint: { destination: { case: "hostname", value: {} }, hboneMtlsPort: 4294967295 } }
    ]
  ])("is rejected: %s", (reason, wire) => assert.strictEqual(reasonOf(decodeAddress(workloadBytes(wire))), reason))
})

describe("a service from the wire", () => {
  it("of which little is said", () => {
    const hostname = "a.shop.svc.cluster.local"
    const found = decodedService(serviceBytes({ name: "a", namespace: "shop", hostname }))
    assert.deepStrictEqual(found, service("a", [], { ports: new Map() }))
  })

  it("has single addresses and ranges", () => {
    const addresses = [
      { network: "n", address: V4 },
      { network: "n", address: V4, length: 32 },
      { network: "n", address: MAPPED, length: 128 },
      { network: "n", address: V4, length: 8 },
      { network: "n", address: MAPPED, length: 112 },
      { network: "n", address: V4, length: 0 }
    ]
    const { cidrVips, vips } = decodedService(serviceBytes({ addresses }))
    const vip = { network: "n", ip: ipUnsafe("10.0.0.1") }
    assert.deepStrictEqual(vips, [vip, vip, vip])
    assert.deepStrictEqual(
      cidrVips,
      ["10.0.0.0/8", "10.0.0.0/16", "0.0.0.0/0"].map((text) => ({ network: "n", cidr: parseCidr(text)! }))
    )
  })

  it("has a load balancer if one is said, the empty one too", () => {
    assert.deepStrictEqual(decodedService(serviceBytes({ loadBalancing: {} })).loadBalancer, {
      routingPreferences: [],
      mode: "Standard",
      healthPolicy: "OnlyHealthy"
    })
    const loadBalancing: ServiceInit["loadBalancing"] = {
      routingPreference: [6, 1, 5, 2, 4, 3],
      mode: 3,
      healthPolicy: 1
    }
    assert.deepStrictEqual(decodedService(serviceBytes({ loadBalancing })).loadBalancer, {
      routingPreferences: ["Network", "Region", "Cluster", "Zone", "Node", "Subzone"],
      mode: "Passthrough",
      healthPolicy: "AllowAll"
    })
  })

  it("has IP families and visibility by number; an unknown visibility is public", () => {
    const families = (number: number) => decodedService(serviceBytes(withEnum("ipFamilies", number))).ipFamilies
    assert.deepStrictEqual([0, 1, 2, 3].map(families), [undefined, "IPv4", "IPv6", "Dual"])
    const visibility = (number: number) => decodedService(serviceBytes(withEnum("visibility", number))).visibility
    assert.deepStrictEqual([0, 1, 2].map(visibility), ["Public", "Namespace", "Public"])
  })

  it.each<readonly [string, ServiceInit]>([
    ["failed to parse address, had 2 bytes", { addresses: [{ address: new Uint8Array(2) }] }],
    ["invalid cidr: 10.0.0.1 has no prefix of 33 bits", { addresses: [{ address: V4, length: 33 }] }],
    ["invalid cidr: 10.0.0.1 has no prefix of 264 bits", { addresses: [{ address: V4, length: 264 }] }],
    ["invalid cidr: 10.0.0.1 has no prefix of 95 bits", { addresses: [{ address: MAPPED, length: 95 }] }],
    ["there is no port 65536", { ports: [{ servicePort: 80, targetPort: 65536 }] }],
    ["unknown enum: invalid target", { loadBalancing: { routingPreference: [1, 0] } }],
    ["unknown enum: invalid target", { loadBalancing: { routingPreference: [unknown(7)] } }],
    ["decode error: unknown enumeration value 4 of load_balancing.mode", { loadBalancing: withEnum("mode", 4) }],
    [
      "decode error: unknown enumeration value 2 of load_balancing.health_policy",
      { loadBalancing: withEnum("healthPolicy", 2) }
    ],
    ["decode error: unknown enumeration value 4 of ip_families", withEnum("ipFamilies", 4)],
    ["nonempty gateway address is missing address", { waypoint: {} }],
    ["weighted waypoint is missing destination", { weightedWaypoints: [{ weight: 1 }] }],
    ["nonempty gateway address is missing address", { weightedWaypoints: [{ destination: {}, weight: 1 }] }]
  ])("is rejected: %s", (reason, wire) => assert.strictEqual(reasonOf(decodeAddress(serviceBytes(wire))), reason))
})

describe("a policy from the wire", () => {
  it("has the name of its resource as key, and what is empty stays empty", () => {
    const bytes = policyBytes({ name: "p", namespace: "shop", rules: [{}, { clauses: [{}, { matches: [{}] }] }] })
    assert.deepStrictEqual(
      Result.getOrThrow(decodePolicy("shop/other", bytes)),
      policy("p", { key: "shop/other", scope: "Global", rules: [[], [[], [{}]]] })
    )
  })

  it("has scope, action and dry run by what is said", () => {
    const { action, dryRun, scope } = Result.getOrThrow(
      decodePolicy("shop/p", policyBytes({ scope: 2, action: 1, dryRun: true }))
    )
    assert.deepStrictEqual({ action, dryRun, scope }, { action: "Deny", dryRun: true, scope: "WorkloadSelector" })
  })

  it.each<readonly [string, PolicyInit]>([
    ["decode error: unknown enumeration value 3 of scope", withEnum("scope", 3)],
    ["decode error: unknown enumeration value 2 of action", withEnum("action", 2)]
  ])("is rejected: %s", (reason, wire) =>
    assert.strictEqual(reasonOf(decodePolicy("shop/p", policyBytes(wire))), reason)
  )

  it("has every kind of matcher, and its negation", () => {
    const texts = [
      { matchType: { case: "exact", value: "a" } },
      { matchType: { case: "prefix", value: "b" } },
      { matchType: { case: "suffix", value: "" } },
      { matchType: { case: "presence", value: {} } }
    ] as const
    const account = { namespace: "shop", serviceAccount: "web" }
    const found = decodedMatch({
      namespaces: [...texts],
      notPrincipals: [...texts],
      serviceAccounts: [account],
      notServiceAccounts: [account],
      sourceIps: [{ address: V4, length: 32 }],
      notDestinationIps: [{ address: MAPPED, length: 96 }, { address: V4 }],
      destinationPorts: [0, 65535],
      notDestinationPorts: [80]
    })
    const matchers = [
      { _tag: "Exact", value: "a" },
      { _tag: "Prefix", value: "b" },
      { _tag: "Suffix", value: "" },
      { _tag: "Presence" }
    ]
    const range = (text: string) => parseCidr(text)
    assert.deepStrictEqual<unknown>(found, {
      namespaces: { any: matchers, none: [], notUnderstood: false },
      principals: { any: [], none: matchers, notUnderstood: false },
      serviceAccounts: { any: [account], none: [account], notUnderstood: false },
      sourceIps: { any: [range("10.0.0.1/32")], none: [], notUnderstood: false },
      destinationIps: { any: [], none: [range("0.0.0.0/0"), range("0.0.0.0/0")], notUnderstood: false },
      destinationPorts: { any: [0, 65535], none: [80], notUnderstood: false }
    })
  })

  const good = { matchType: { case: "exact", value: "a" } } as const
  it.each<readonly [keyof MatchInit, MatchInit]>([
    ["namespaces", { namespaces: [{}, good] }],
    ["namespaces", { notNamespaces: [{}] }],
    ["principals", { principals: [{}] }],
    ["principals", { principals: [good], notPrincipals: [good, {}] }],
    ["sourceIps", { sourceIps: [{ address: new Uint8Array(3), length: 8 }] }],
    ["sourceIps", { notSourceIps: [{ address: V4, length: 33 }] }],
    ["destinationIps", { destinationIps: [{ length: 0 }] }],
    ["destinationIps", { notDestinationIps: [{ address: MAPPED, length: 95 }] }],
    ["destinationPorts", { destinationPorts: [65616] }],
    ["destinationPorts", { notDestinationPorts: [80, 65536] }]
  ])("keeps that it does not understand a matcher of %s", (kind, match) => {
    const found = new Map<string, unknown>(Object.entries(decodedMatch(match) ?? {}))
    assert.deepStrictEqual([...found.keys()], [kind])
    assert.nestedPropertyVal(found.get(kind), "notUnderstood", true)
  })
})

describe("bytes that are not a resource", () => {
  it("of no kind are rejected", () => {
    assert.strictEqual(reasonOf(decodeAddress(new Uint8Array(0))), "unknown address type")
    assert.strictEqual(reasonOf(decodeAddress(field(3, "x"))), "unknown address type")
  })

  it("that are cut, or no text, are rejected with what the parser says", () => {
    const bytes = workloadBytes({ name: "web" })
    assert.strictEqual(reasonOf(decodeAddress(bytes.subarray(0, -1))), "decode: premature EOF")
    const broken = bytes.map((byte) => (byte === "w".charCodeAt(0) ? 0xff : byte))
    assert.match(reasonOf(decodeAddress(broken)), /^decode: .*UTF-8|encoded data was not valid/i)
  })

  it("may have fields that we do not know", () => {
    const strange = new Uint8Array([...field(900, "x"), ...workloadBytes({ name: "a" }), ...group(3), ...field(7, "y")])
    assert.strictEqual(decodedWorkload(strange).name, "a")
  })

  it("are read no deeper than some levels, and no longer than some megabytes", () => {
    assert.strictEqual(reasonOf(decodeAddress(new Uint8Array([...workloadBytes({}), ...group(20)]))), "taken")
    assert.strictEqual(reasonOf(decodeAddress(group(50_000))), "decode: maximum recursion depth reached")
    assert.strictEqual(reasonOf(decodePolicy("a/b", group(50_000))), "decode: maximum recursion depth reached")
    assert.strictEqual(
      reasonOf(decodeAddress(new Uint8Array(MAX_RESOURCE_BYTES + 1))),
      "2097153 bytes are too many for one resource: at most 2097152 are read"
    )
  })

  it.prop(
    "never throw, whatever they are",
    [bytes()],
    ([bytes]) => {
      decodeAddress(bytes)
      decodePolicy("a/b", bytes)
    },
    THOROUGH
  )

  it.prop(
    "never throw when good ones are cut or a bit is flipped",
    [
      anyWorkload,
      anyService,
      anyPolicy(true),
      Arbitrary.array(integer(0, 1e6), { minLength: 1, maxLength: 3 }),
      integer(0, 1e6)
    ],
    ([workload, service, policy, flips, cut]) => {
      for (const good of [encodeWorkload(workload), encodeService(service), encodePolicy(policy)]) {
        const garbled = good.slice()
        for (const flip of flips) if (good.length > 0) garbled[(flip >> 3) % good.length]! ^= 1 << (flip & 7)
        for (const bytes of [garbled, good.subarray(0, cut % (good.length + 1))]) {
          decodeAddress(bytes)
          decodePolicy("a/b", bytes)
        }
      }
    },
    { arbitrary: { runs: 300 } }
  )
})

/** A number that the enum has no word for, as a newer control plane may send one. */
function unknown(number: number) {
  // on the wire an enum is any number; the types of the generated code say so with a brand
  return number as never
}

function withEnum<K extends string>(key: K, number: number): { readonly [P in K]: never } {
  // the key is the one that was given
  return { [key]: unknown(number) } as { readonly [P in K]: never }
}

function field(number: number, text: string): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).string(text).finish()
}

/** Unknown groups inside one another. */
function group(depth: number): Uint8Array {
  const writer = new BinaryWriter()
  for (let level = 0; level < depth; level += 1) writer.tag(99, WireType.StartGroup)
  for (let level = 0; level < depth; level += 1) writer.tag(99, WireType.EndGroup)
  return writer.finish()
}
