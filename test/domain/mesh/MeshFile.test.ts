import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"
import { serviceKey } from "../../../src/domain/mesh/Service.ts"
import { MAX_ALIASES } from "../../../src/domain/mesh/YamlReader.ts"
import { anyPolicy, anyService, anyWorkload } from "../../support/anyResources.ts"
import { anyText, mutated, THOROUGH } from "../../support/hostileInput.ts"
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
  endpoints: {a: {workloadUid: cache, port: {443: 9443}, status: Healthy}}
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
      workload("", [], {
        uid: "cache",
        protocol: "TCP",
        node: "",
        services: new Map([["shop/pay.example", new Map([[443, 9443]])]])
      })
    ])
    assert.deepStrictEqual(services, [
      service("pay", ["10.96.0.50"], {
        hostname: "pay.example",
        vips: [
          { network: "", ip: ipUnsafe("10.96.0.50") },
          { network: "remote", ip: ipUnsafe("10.96.0.51") }
        ],
        cidrVips: [{ network: "remote", cidr: parseCidr("10.97.0.0/16")! }],
        ports: new Map([
          [443, 8443],
          [80, 0]
        ]),
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
    assert.deepStrictEqual(parse("{}"), NOTHING)
    assert.deepStrictEqual(parse("workloads:\nservices: []\npolicies: []"), NOTHING)
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

  it("is refused for a workload that has no uid, and for a type of workload that there is not", () => {
    const accepted = "a text that no other workload has, such as cluster1//Pod/shop/web-0, is accepted"
    assert.deepStrictEqual(issues("workloads:\n- {namespace: x, workloadIps: [], services: {}}"), [
      `2:3 workloads[0].uid: nothing was given; ${accepted}`
    ])
    const typed = (uid: string, type: string) =>
      `workloads: [{uid: ${uid}, namespace: x, workloadIps: [], services: {}, workloadType: ${type}}]`
    assert.deepStrictEqual(issues(typed('""', "StatefulSet")), [
      `1:19 workloads[0].uid: "" was given; ${accepted}`,
      '1:82 workloads[0].workloadType: "StatefulSet" was given; deployment or cronjob or pod or job is accepted'
    ])
    assert.strictEqual(parse(typed("a", "CronJob")).workloads[0]?.workloadType, "cronjob")
    assert.strictEqual(parse(typed("a", '""')).workloads[0]?.workloadType, "deployment")
  })

  it("means what the wire means by a port 0 of a tunnel and by a range of one address", () => {
    const { services, workloads } = parse(`
workloads: [{uid: a, namespace: x, workloadIps: [], services: {}, applicationTunnel: {protocol: NONE, port: 0}}]
services:
- {name: a, namespace: x, hostname: h, vips: [/10.0.0.1], ports: {}, cidrVips: [{cidr: "2001:db8::1/128"}, {cidr: 10.1.0.0/31}]}`)
    assert.deepStrictEqual(workloads[0]?.applicationTunnel, { protocol: "NONE", port: undefined })
    assert.deepStrictEqual(
      services[0]?.vips,
      ["10.0.0.1", "2001:db8::1"].map((ip) => ({ network: "", ip: ipUnsafe(ip) }))
    )
    assert.deepStrictEqual(services[0]?.cidrVips, [{ network: "", cidr: parseCidr("10.1.0.0/31")! }])
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
    assert.deepStrictEqual(documented("Policy"), accepted("policies"))
    const match = issues("policies: [{rules: [[[{x: 1}]]]}]").find((issue) => issue.includes("unknown key"))
    assert.deepStrictEqual(documented("Match"), match?.split("accepted here: ")[1]?.split(", ").toSorted())
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
    [
      Arbitrary.array(anyWorkload, { maxLength: 3 }),
      Arbitrary.array(anyService, { maxLength: 3 }),
      Arbitrary.array(anyPolicy(false), { maxLength: 3 })
    ],
    ([workloads, services, policies]) => {
      const distinct = {
        workloads: workloads.map((workload, index) => ({ ...workload, uid: `${index}${workload.uid}` })),
        services: services.map((service, index) => ({ ...service, hostname: `${index}${service.hostname}` })),
        policies: policies.map((policy, index) => {
          const name = `${index}${policy.name}`
          return { ...policy, name, key: `${policy.namespace}/${name}` }
        })
      }
      assert.deepStrictEqual(parse(meshFile(distinct)), distinct)
      assert.lengthOf(new Set(distinct.services.map(serviceKey)), services.length)
    },
    { arbitrary: { runs: 150 } }
  )
})

const NOTHING = { workloads: [], services: [], policies: [] }

const WORKLOAD_KEYS =
  "workloadIps, namespace, services, uid, name, serviceAccount, trustDomain, network, hostname, node, clusterId, " +
  "workloadName, workloadType, canonicalName, canonicalRevision, protocol, networkMode, status, waypoint, " +
  "networkGateway, nativeTunnel, applicationTunnel, authorizationPolicies, locality, capacity"
