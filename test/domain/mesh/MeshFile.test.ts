import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"
import { serviceKey } from "../../../src/domain/mesh/Service.ts"
import type { GatewayAddress } from "../../../src/domain/mesh/Workload.ts"
import { MAX_ALIASES } from "../../../src/domain/mesh/YamlReader.ts"
import { anyText, hostname, integer, ip, mutated, oneOf, THOROUGH } from "../../support/hostileInput.ts"
import { meshFile, service, workload } from "../../support/meshes.ts"

const parse = (text: string) => Result.getOrThrow(parseMeshFile(text, "mesh.yaml"))

/** `line:column path: problem` of each issue. */
const issues = (text: string): ReadonlyArray<string> => {
  const parsed = parseMeshFile(text, "mesh.yaml")
  if (Result.isSuccess(parsed)) return []
  return parsed.failure.issues.map(({ column, line, path, problem }) => `${line}:${column} ${path}: ${problem}`)
}

const SAMPLE = `workloads:
- uid: k//Pod/shop/pay-0
  name: pay-0
  namespace: shop
  serviceAccount: pay
  workloadIps: [10.9.0.7, "2001:DB8::7"]
  protocol: HBONE
  node: n1
  services: {shop/pay.example: {443: 8443}}
- {namespace: shop, uid: cache, workloadIps: [], services: {}}
services:
- name: pay
  namespace: shop
  hostname: pay.example
  vips: [/10.96.0.50, remote/10.96.0.51]
  cidrVips: [{network: remote, cidr: 10.97.1.2/16}]
  ports: {443: 8443, 80: 0}
  endpoints: {a: {workloadUid: cache, port: {443: 9443}, status: Unhealthy}}
  waypoint: {destination: shop/waypoint.example, hboneMtlsPort: 15009}
  weightedWaypoints: [{destination: {destination: remote/10.9.0.9, hboneMtlsPort: 15008}, weight: 3}]
  loadBalancer: {routingPreferences: [Network, Zone], mode: Failover, healthPolicy: AllowAll}
  ipFamilies: Dual
  visibility: Namespace
`

describe("a mesh file", () => {
  it("is read with the defaults of the control plane", () => {
    const { services, workloads } = parse(SAMPLE)
    assert.deepStrictEqual(workloads, [
      workload("pay-0", ["10.9.0.7", "2001:db8::7"], {
        uid: "k//Pod/shop/pay-0",
        serviceAccount: "pay",
        services: new Map([["shop/pay.example", new Map([[443, 8443]])]])
      }),
      workload("", [], { uid: "cache", protocol: "TCP", node: "" })
    ])
    assert.deepStrictEqual(services, [
      service("pay", ["10.96.0.50"], {
        hostname: "pay.example",
        vips: [
          { network: "", ip: ipUnsafe("10.96.0.50") },
          { network: "remote", ip: ipUnsafe("10.96.0.51") }
        ],
        cidrVips: [{ network: "remote", cidr: "10.97.0.0/16" }],
        ports: new Map([
          [443, 8443],
          [80, 0]
        ]),
        endpoints: new Map([["a", { workloadUid: "cache", ports: new Map([[443, 9443]]), status: "Unhealthy" }]]),
        waypoint: {
          destination: { _tag: "Hostname", namespace: "shop", hostname: "waypoint.example" },
          hboneMtlsPort: 15009
        },
        weightedWaypoints: [
          {
            destination: {
              destination: { _tag: "Address", network: "remote", ip: ipUnsafe("10.9.0.9") },
              hboneMtlsPort: 15008
            },
            weight: 3
          }
        ],
        loadBalancer: { routingPreferences: ["Network", "Zone"], mode: "Failover", healthPolicy: "AllowAll" },
        ipFamilies: "Dual",
        visibility: "Namespace"
      })
    ])
  })

  it("may be JSON, may repeat itself with aliases, and may hold nothing", () => {
    const json = '{"workloads": [{"uid": "a", "namespace": "x", "workloadIps": [], "services": {"x/y": {"80": 8080}}}]}'
    assert.deepStrictEqual(parse(json).workloads[0]?.services, new Map([["x/y", new Map([[80, 8080]])]]))
    const shared = (uid: string, services: string) =>
      `{uid: ${uid}, namespace: x, workloadIps: [], services: ${services}}`
    const aliased = parse(`workloads:\n- ${shared("a", "&s {x/y: {80: 8080}}")}\n- ${shared("b", "*s")}`)
    assert.deepStrictEqual(aliased.workloads[1]?.services, new Map([["x/y", new Map([[80, 8080]])]]))
    assert.deepStrictEqual(parse("{}"), { workloads: [], services: [] })
    assert.deepStrictEqual(parse("workloads:\nservices: []\npolicies: []"), { workloads: [], services: [] })
  })

  it("is refused with every problem at its place", () => {
    assert.deepStrictEqual(
      issues(`workloads:
- namespace: 7
  workloadIps: [10.0.0]
  services: {x: {80: 65536}, x/y: {"80": 1, 80: 2}}
  protocol: UDP
  protocoll: TCP
  uid: a
  uid: b
services:
  name: x
service: []`),
      [
        "2:14 workloads[0].namespace: 7 was given; a string (put it in quotes) is accepted",
        '3:17 workloads[0].workloadIps[0]: "10.0.0" was given; an IP address is accepted',
        '4:14 workloads[0].services["x"]: "x" was given; <namespace>/<hostname> is accepted',
        '4:45 workloads[0].services["x/y"]["80"]: this key was given before',
        '5:13 workloads[0].protocol: "UDP" was given; TCP or HBONE is accepted',
        `6:3 workloads[0].protocoll: unknown key; accepted here: ${WORKLOAD_KEYS}`,
        "8:3 workloads[0].uid: this key was given before",
        "10:3 services: a map was given; a list is accepted",
        "11:1 service: unknown key; accepted here: workloads, services, policies"
      ]
    )
  })

  it("says what is missing", () => {
    assert.deepStrictEqual(issues("services:\n- {name: x, hostname: h, vips: [], ports: }"), [
      "2:3 services[0].namespace: nothing was given; a string is accepted",
      "2:43 services[0].ports: nothing was given; a map is accepted"
    ])
    assert.deepStrictEqual(issues("# later\n"), [
      "1:1 : an empty document was given; write {} for a mesh with nothing in it"
    ])
  })

  it("is refused when two workloads or two services are one", () => {
    const one = "{uid: a, namespace: x, workloadIps: [], services: {}}"
    assert.deepStrictEqual(issues(`workloads:\n- ${one}\n- ${one}`), [
      '3:3 workloads[1]: workloads[0] has the same uid: "a"'
    ])
    const same = "{name: a, namespace: x, hostname: h, vips: [], ports: {}}"
    assert.deepStrictEqual(issues(`services:\n- ${same}\n- ${same}`), [
      '3:3 services[1]: services[0] has the same namespace and hostname: "x/h"'
    ])
  })

  it("is refused for its policies, and for nothing in them", () => {
    const policies = `policies:
- name: only-web
  namespace: shop
  rules: [[[{principals: [!Prefix a, !Exact b, !Suffix c, !Presence []], destinationPorts: [8443]}]]]`
    const problem =
      "are not enforced yet, and ignoring them would open what they close; run ztunnel for such a mesh, or remove them"
    assert.deepStrictEqual(issues(policies), [`2:1 policies: authorization policies ${problem}`])
    const attached = "workloads: [{namespace: x, workloadIps: [], services: {}, authorizationPolicies: [x/y]}]"
    assert.deepStrictEqual(issues(attached), [
      `1:82 workloads[0].authorizationPolicies: authorization policies of a workload ${problem}`
    ])
  })

  it("is refused for what YAML does not allow, with the line", () => {
    assert.deepStrictEqual(issues("workloads: []\nservices: {x"), [
      "2:13 : Flow map in block collection must be sufficiently indented and end with a }"
    ])
    assert.deepStrictEqual(issues("workloads: []\n---\nservices: []\n").length, 1)
    assert.deepStrictEqual(issues("services: !Other []"), ["1:11 : Unresolved tag: !Other"])
    assert.deepStrictEqual(issues("[".repeat(50_000)), ["1:1 : this YAML cannot be read; it is nested too deeply"])
  })

  it("follows a hundred aliases and no more", () => {
    const services = [...Array(MAX_ALIASES + 1).keys()].map(
      (n) => `{uid: w${n}, namespace: x, workloadIps: [], services: ${n === 0 ? "&s {}" : "*s"}}`
    )
    assert.lengthOf(parse(`workloads: [${services.join(", ")}]`).workloads, MAX_ALIASES + 1)
    const last = issues(`workloads: [${services.join(", ")}, {uid: z, namespace: x, workloadIps: [], services: *s}]`)
    assert.lengthOf(last, 1)
    assert.include(last[0], `more than ${MAX_ALIASES} aliases was given`)
  })

  it("shows the first twenty problems of many", () => {
    const parsed = parseMeshFile(`workloads: [${"1, ".repeat(30)}]`, "mesh.yaml")
    const lines = Result.isFailure(parsed) ? parsed.failure.message.split("\n") : []
    assert.strictEqual(lines[0], "the mesh file mesh.yaml has 30 problems:")
    assert.match(lines[1] ?? "", /^ {2}mesh\.yaml:1:13: workloads\[0\]: 1 was given; a map with the keys /)
    assert.strictEqual(lines.at(-1), "  and 10 more")
  })
})

describe("docs/mesh-file.md", () => {
  const page = readFileSync(new URL("../../../docs/mesh-file.md", import.meta.url), "utf8")

  it("has an example that is accepted", () => {
    const example = /```yaml\n([^`]*)```/.exec(page)?.[1] ?? ""
    assert.deepStrictEqual(issues(example), [])
    assert.lengthOf(parse(example).workloads, 3)
  })

  it("has every key in its tables, and no other", () => {
    const documented = (heading: string) => {
      const table = page.slice(page.indexOf(`### ${heading}`)).split("\n\n")[1] ?? ""
      const firstCells = table.split("\n").map((row) => row.split("|")[1] ?? "")
      return firstCells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, key]) => key)).toSorted()
    }
    const accepted = (list: string) => {
      const unknown = issues(`${list}: [{x: 1}]`).find((issue) => issue.includes("unknown key"))
      return unknown?.split("accepted here: ")[1]?.split(", ").toSorted()
    }
    assert.deepStrictEqual(documented("Workload"), accepted("workloads"))
    assert.deepStrictEqual(documented("Service"), accepted("services"))
  })
})

describe("the mesh file reader", () => {
  it.prop("never throws on any text", [anyText], ([text]) => void parseMeshFile(text, "x"), THOROUGH)

  it.prop(
    "never throws on a file with a few characters changed, and names a place in it",
    [mutated(Arbitrary.Constant(SAMPLE))],
    ([text]) => {
      const parsed = parseMeshFile(text, "x")
      if (Result.isSuccess(parsed)) return
      const lines = text.split("\n").length
      assert.isAbove(parsed.failure.issues.length, 0)
      for (const { column, line } of parsed.failure.issues) assert.isTrue(line >= 1 && line <= lines && column >= 1)
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "reads back what was written",
    [Arbitrary.array(anyWorkload(), { maxLength: 3 }), Arbitrary.array(anyService(), { maxLength: 3 })],
    ([workloads, services]) => {
      const distinct = {
        workloads: workloads.map((workload, index) => ({ ...workload, uid: `${index}${workload.uid}` })),
        services: services.map((service, index) => ({ ...service, hostname: `${index}${service.hostname}` }))
      }
      assert.deepStrictEqual(parse(meshFile(distinct)), distinct)
      assert.lengthOf(new Set(distinct.services.map(serviceKey)), services.length)
    },
    { arbitrary: { runs: 150 } }
  )
})

const WORKLOAD_KEYS =
  "workloadIps, namespace, services, uid, name, serviceAccount, trustDomain, network, hostname, node, clusterId, " +
  "workloadName, workloadType, canonicalName, canonicalRevision, protocol, networkMode, status, waypoint, " +
  "networkGateway, nativeTunnel, applicationTunnel, authorizationPolicies, locality, capacity"

/** Texts that YAML would take for something else if they were not quoted, among them. */
function anyWord() {
  return oneOf(["x", "null", "~", "true", "12", "1e3", "- a", "a: b", "!Exact", "*a", "&a", "#", " ", "ü\n", "0x1f"])
}

function anyPorts() {
  const port = integer(0, 65535)
  return Arbitrary.map(Arbitrary.array(Arbitrary.all([port, port]), { maxLength: 3 }), (ports) => new Map(ports))
}

function anyGateway(): Arbitrary.Arbitrary<GatewayAddress | undefined> {
  const all = Arbitrary.all([oneOf(["none", "address", "hostname"]), ip, hostname, anyWord(), integer(0, 65535)])
  return Arbitrary.map(all, ([kind, ip, hostname, word, hboneMtlsPort]) => {
    if (kind === "none") return undefined
    if (kind === "address") return { destination: { _tag: "Address", network: word, ip }, hboneMtlsPort }
    return { destination: { _tag: "Hostname", namespace: word, hostname }, hboneMtlsPort }
  })
}

function anyWorkload() {
  return Arbitrary.map(
    Arbitrary.all({
      words: Arbitrary.array(anyWord(), { minLength: 12, maxLength: 12 }),
      ips: Arbitrary.array(ip, { maxLength: 3 }),
      waypoint: anyGateway(),
      networkGateway: anyGateway(),
      ports: anyPorts(),
      hostname,
      protocol: oneOf(["TCP", "HBONE"] as const),
      networkMode: oneOf(["Standard", "HostNetwork"] as const),
      status: oneOf(["Healthy", "Unhealthy"] as const),
      nativeTunnel: oneOf([true, false]),
      applicationTunnel: oneOf([
        undefined,
        { protocol: "PROXY", port: 7 },
        { protocol: "NONE", port: undefined }
      ] as const),
      capacity: integer(0, 2 ** 32 - 1)
    }),
    ({ ports, words, ...rest }) => {
      const [name, namespace, serviceAccount, trustDomain, network, node, clusterId, workloadName, region] = words
      return workload(name!, [], {
        ...rest,
        namespace: namespace!,
        serviceAccount: serviceAccount!,
        trustDomain: trustDomain!,
        network: network!,
        node: node!,
        clusterId: clusterId!,
        workloadName: workloadName!,
        locality: { region: region!, zone: "", subzone: words[9]! },
        canonicalName: words[10]!,
        canonicalRevision: words[11]!,
        workloadType: "deployment",
        services: new Map([[`${words[9]}/${rest.hostname}`, ports]])
      })
    }
  )
}

function anyService() {
  return Arbitrary.map(
    Arbitrary.all({
      words: Arbitrary.array(anyWord(), { minLength: 5, maxLength: 5 }),
      ips: Arbitrary.array(ip, { maxLength: 3 }),
      hostname,
      ports: anyPorts(),
      own: anyPorts(),
      waypoint: anyGateway(),
      weighted: anyGateway(),
      status: oneOf(["Healthy", "Unhealthy"] as const),
      mode: oneOf([undefined, "Standard", "Strict", "Failover", "Passthrough"] as const),
      ipFamilies: oneOf([undefined, "IPv4", "IPv6", "Dual"] as const),
      canonical: oneOf([true, false]),
      visibility: oneOf(["Public", "Namespace"] as const)
    }),
    ({ ips, mode, own, status, weighted, words, ...rest }) =>
      service(words[0]!, [], {
        ...rest,
        namespace: words[1]!,
        vips: ips.map((ip) => ({ network: words[2]!, ip })),
        cidrVips: [{ network: words[3]!, cidr: "2001:db8::/32" }],
        endpoints: new Map([[words[4]!, { workloadUid: words[2]!, ports: own, status }]]),
        subjectAltNames: words,
        weightedWaypoints: weighted === undefined ? [] : [{ destination: weighted, weight: 2 }],
        loadBalancer:
          mode === undefined
            ? undefined
            : { mode, routingPreferences: ["Network", "Zone", "Subzone"], healthPolicy: "AllowAll" }
      })
  )
}
