import { assert, describe, it } from "@effect/vitest"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import type { Service } from "../../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../../src/domain/mesh/Workload.ts"
import { behind, gateway, service, workload } from "../../support/meshes.ts"
import { ask, byHostname, requestOf, steps, way, ways } from "../../support/routing.ts"

const web = service("web", ["10.96.0.1"])
const pod = workload("pod", ["10.0.0.1"], behind(web))
const a = workload("a", ["10.0.0.8"])
const b = workload("b", ["10.0.0.9"])

const THROUGH_A = "hbone a 10.0.0.8:15008 10.96.0.1:80"
const THROUGH_B = "hbone b 10.0.0.9:15008 10.96.0.1:80"
const PAST = "hbone pod 10.0.0.1:15008 10.0.0.1:8080"

describe("weighted waypoints", () => {
  const guarded = (weights: readonly [number, number], rest: Partial<Service> = {}) => ({
    workloads: [pod, a, b],
    services: [
      {
        ...web,
        weightedWaypoints: [
          { destination: gateway("10.0.0.8"), weight: weights[0] },
          { destination: gateway("10.0.0.9"), weight: weights[1] }
        ],
        ...rest
      }
    ]
  })

  it("share the connections by weight", () => {
    const runs = 10_000
    const counts = ways(guarded([75, 25]), "10.96.0.1:80", {}, runs)
    assert.deepStrictEqual(new Set(counts.keys()), new Set([THROUGH_A, THROUGH_B]))
    assert.closeTo(counts.get(THROUGH_A)!, runs * 0.75, 3 * Math.sqrt(runs * 0.75 * 0.25))
  })

  it("come before the single one, and those without weight get nothing", () => {
    const counts = ways(guarded([0, 1], { waypoint: gateway("10.0.0.8") }), "10.96.0.1:80", {}, 1000)
    assert.deepStrictEqual([...counts.keys()], [THROUGH_B])
  })

  it("of which none has a weight leave the single one, or none", () => {
    const single = ways(guarded([0, 0], { waypoint: gateway("10.0.0.8") }), "10.96.0.1:80")
    assert.deepStrictEqual([...single.keys()], [THROUGH_A])
    assert.deepStrictEqual([...ways(guarded([0, 0]), "10.96.0.1:80").keys()], [PAST])
  })

  it("that are the source itself are not gone through again, nor is the other one", () => {
    const counts = ways(guarded([75, 25]), "10.96.0.1:80", { source: b, sourceIp: ipUnsafe("10.0.0.9") })
    assert.deepStrictEqual([...counts.keys()], [PAST])
    // one without a weight is none
    const retired = ways(guarded([1, 0]), "10.96.0.1:80", { source: b, sourceIp: ipUnsafe("10.0.0.9") })
    assert.deepStrictEqual([...retired.keys()], [THROUGH_A])
  })

  it("say so in a trace", () => {
    const told = (rest: Partial<Service>) =>
      steps(guarded([1, 1], rest), requestOf("10.96.0.1:80")).flatMap((step) => (step._tag === "Via" ? [step] : []))
    assert.deepInclude(told({})[0], { role: "waypoint", of: "shop/web.shop.svc.cluster.local", weighted: true })
    assert.isFalse(told({ weightedWaypoints: [], waypoint: gateway("10.0.0.8") })[0]?.weighted)
  })
})

describe("a reference", () => {
  const gate = service("gate", ["10.96.0.9"], { ports: new Map([[15008, 15008]]) })
  const inGate = (rest: Partial<Workload> = {}) => ({ ...a, ...behind(gate), ...rest })
  const through = (
    reference: GatewayAddress,
    workloads: ReadonlyArray<Workload>,
    ...services: ReadonlyArray<Service>
  ) =>
    way(
      ask({ workloads: [pod, ...workloads], services: [{ ...web, waypoint: reference }, ...services] }, "10.96.0.1:80")
    )

  it("by address is a service, or else a workload", () => {
    assert.strictEqual(through(gateway("10.96.0.9"), [inGate(), b], gate), THROUGH_A)
    assert.strictEqual(through(gateway("10.0.0.9"), [inGate(), b], gate), THROUGH_B)
    const twin = { ...b, ips: [ipUnsafe("10.96.0.9")] }
    assert.strictEqual(through(gateway("10.96.0.9"), [inGate(), twin], gate), THROUGH_A)
  })

  it("by address is looked up on the network that it names", () => {
    const far = {
      destination: { _tag: "Address", network: "far", ip: ipUnsafe("10.0.0.8") },
      hboneMtlsPort: 15008
    } as const
    assert.strictEqual(
      through(far, [a]),
      "UnknownWaypoint: unknown waypoint: waypoint 10.0.0.8:15008 on network far not found"
    )
    assert.include(through(far, [{ ...a, network: "far" }]), "NoValidDestination")
  })

  it("by hostname is a service of that namespace, or else a workload of it", () => {
    const named = { ...b, hostname: gate.hostname }
    assert.strictEqual(through(byHostname(gate.hostname), [inGate(), named], gate), THROUGH_A)
    assert.strictEqual(through(byHostname("GATE.shop.svc.cluster.local."), [inGate()], gate), THROUGH_A)
    assert.strictEqual(through(byHostname(gate.hostname), [named]), THROUGH_B)
    // another namespace's service of that name is not meant, canonical or not
    const foreign = { ...gate, namespace: "other", canonical: true }
    assert.strictEqual(through(byHostname(gate.hostname), [inGate(), named], foreign, gate), THROUGH_A)
    assert.strictEqual(through(byHostname(gate.hostname), [named], foreign), THROUGH_B)
    assert.include(through(byHostname(gate.hostname), [{ ...named, namespace: "other" }], foreign), "UnknownWaypoint")
  })

  it("may be to a service that the client does not see", () => {
    const hidden: Service = { ...gate, namespace: "mesh", visibility: "Namespace" }
    const its = { ...a, ...behind(hidden) }
    assert.strictEqual(through(gateway("10.96.0.9"), [its], hidden), THROUGH_A)
    const reference = { ...byHostname(""), destination: { ...hidden, _tag: "Hostname" } } as const
    assert.strictEqual(through(reference, [its], hidden), THROUGH_A)
  })

  it("leads nowhere if its service has nobody to choose", () => {
    const refused = "UnknownWaypoint: unknown waypoint: waypoint 10.96.0.9:15008 not found"
    assert.strictEqual(through(gateway("10.96.0.9"), [b], gate), refused)
    assert.strictEqual(through(gateway("10.96.0.9"), [inGate({ status: "Unhealthy" })], gate), refused)
  })

  it("leads nowhere by the address of a Passthrough service, but fails over by its hostname", () => {
    const passing: Service = {
      ...gate,
      loadBalancer: { mode: "Passthrough", routingPreferences: ["Node"], healthPolicy: "OnlyHealthy" }
    }
    const workloads = [inGate({ node: "n2" }), { ...b, ...behind(gate) }]
    assert.include(through(gateway("10.96.0.9"), workloads, passing), "UnknownWaypoint")
    const given = {
      workloads: [pod, ...workloads],
      services: [{ ...web, waypoint: byHostname(gate.hostname) }, passing]
    }
    assert.deepStrictEqual([...ways(given, "10.96.0.1:80").keys()], [THROUGH_B])
  })

  it("that leads to a workload without an address is an error", () => {
    const bare = { ...b, ips: [], hostname: "" }
    const tunnelled = { ...bare, networkGateway: gateway("10.0.0.8") }
    for (const each of [bare, tunnelled]) {
      const its = { ...each, ...behind(gate) }
      assert.include(through(byHostname(gate.hostname), [its], gate), "UnknownWaypoint")
    }
    const six = { ...gate, ipFamilies: "IPv6" } as const
    assert.include(through(byHostname(gate.hostname), [inGate()], six), "NoValidDestination")
  })
})

describe("the port of a waypoint's service", () => {
  const gate = (port: number | undefined) =>
    service("gate", [], { ports: port === undefined ? new Map() : new Map([[15008, port]]) })
  const through = (
    of: Service,
    own: ReadonlyArray<readonly [number, number]>,
    applicationTunnel: Workload["applicationTunnel"] = undefined
  ) => {
    const services = [{ ...web, waypoint: byHostname(of.hostname) }, of]
    return way(ask({ workloads: [{ ...a, ...behind(of, own), applicationTunnel }], services }, "10.96.0.1:80")).split(
      " "
    )[2]
  }
  const NOWHERE = "waypoint:"
  const withPort = { protocol: "PROXY", port: 15088 } as const
  const withoutPort = { protocol: "NONE", port: undefined } as const

  it("is the endpoint's, else the service's, else as asked for where an application tunnel has a port", () => {
    assert.strictEqual(through(gate(8080), [[15008, 9090]], withPort), "10.0.0.8:9090")
    assert.strictEqual(through(gate(8080), [], withPort), "10.0.0.8:8080")
    assert.strictEqual(through(gate(0), [], withPort), "10.0.0.8:15008")
    assert.strictEqual(through(gate(undefined), [], withPort), "10.0.0.8:15008")
    assert.strictEqual(through(gate(undefined), [[15008, 9090]], withoutPort), "10.0.0.8:9090")
  })

  it("is missing without an application tunnel, or with one that says none", () => {
    for (const tunnel of [undefined, withoutPort]) {
      assert.strictEqual(through(gate(0), [], tunnel), NOWHERE)
      assert.strictEqual(through(gate(undefined), [], tunnel), NOWHERE)
    }
    assert.strictEqual(through(gate(undefined), [[15008, 9090]]), NOWHERE)
  })
})
