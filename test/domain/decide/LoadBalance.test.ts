import { assert, describe, it } from "@effect/vitest"
import { makeDraws } from "../../../src/domain/decide/Draws.ts"
import { chooseEndpoint } from "../../../src/domain/decide/LoadBalance.ts"
import type { Step } from "../../../src/domain/decide/Trace.ts"
import type { OutboundRequest } from "../../../src/domain/decide/Upstream.ts"
import type { Endpoints, Mesh } from "../../../src/domain/mesh/Mesh.ts"
import type { LoadBalancer, RoutingPreference, Service } from "../../../src/domain/mesh/Service.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { behind, gateway, service, workload } from "../../support/meshes.ts"
import { ask, names, requestOf, source, steps, way, ways } from "../../support/routing.ts"
import { simpleMesh } from "../../support/SimpleMesh.ts"

const web = service("web", ["10.96.0.1"])
const TARGET = "10.96.0.1:80"

const balanced = (mode: LoadBalancer["mode"], ...routingPreferences: LoadBalancer["routingPreferences"]): Service => ({
  ...web,
  loadBalancer: { mode, routingPreferences, healthPolicy: "OnlyHealthy" }
})

const endpoint = (name: string, last: number, rest: Partial<Workload> = {}) =>
  workload(name, [`10.0.0.${last}`], { ...behind(web), ...rest })

/** Who is reached, of many connections. */
const reached = (of: Service, workloads: ReadonlyArray<Workload>, rest: Partial<OutboundRequest> = {}) =>
  names(ways({ workloads, services: [of] }, TARGET, rest))

describe("capacity", () => {
  const runs = 10_000
  const given = (capacities: ReadonlyArray<number>) => ({
    workloads: capacities.map((capacity, index) => endpoint(`w${index}`, index + 1, { capacity })),
    services: [web]
  })
  const share = (counts: Map<string, number>, index: number) =>
    counts.get(`hbone w${index} 10.0.0.${index + 1}:15008 10.0.0.${index + 1}:8080`) ?? 0

  it("is each one's share of the connections, and none is none", () => {
    const counts = ways(given([1, 0, 3, 0]), TARGET, {}, runs)
    assert.strictEqual(counts.size, 2)
    assert.closeTo(share(counts, 0), runs / 4, 3 * Math.sqrt((runs * 3) / 16))
    assert.strictEqual(share(counts, 0) + share(counts, 2), runs)
  })

  it("of the largest kind adds up exactly", () => {
    const most = 2 ** 32 - 1
    const counts = ways(given([most, 1, most]), TARGET, {}, runs)
    assert.strictEqual(share(counts, 1), 0)
    assert.closeTo(share(counts, 0), runs / 2, 3 * Math.sqrt(runs / 4))
  })

  it("that nobody has leaves nobody", () => {
    assert.deepStrictEqual(
      [...ways(given([0, 0]), TARGET).keys()],
      [`NoHealthyUpstream: no healthy upstream: ${TARGET}`]
    )
  })
})

describe("health", () => {
  const sick = endpoint("sick", 1, { status: "Unhealthy" })
  const well = endpoint("well", 2)

  it("is needed, unless the service takes everybody", () => {
    assert.deepStrictEqual(reached(web, [sick, well]), ["well"])
    const all: Service = {
      ...web,
      loadBalancer: { mode: "Standard", routingPreferences: [], healthPolicy: "AllowAll" }
    }
    assert.deepStrictEqual(reached(all, [sick, well]), ["sick", "well"])
  })
})

describe("the target port", () => {
  const to = (of: Service, own: ReadonlyArray<readonly [number, number]>, port = 80) =>
    way(ask({ workloads: [endpoint("w", 1, behind(of, own))], services: [of] }, `10.96.0.1:${port}`))
      .split(" ")
      .at(-1)

  it("is the endpoint's own, else the service's", () => {
    assert.strictEqual(to(web, [[80, 9090]]), "10.0.0.1:9090")
    assert.strictEqual(to(web, [[81, 9090]]), "10.0.0.1:8080")
    assert.strictEqual(to(web, [[80, 0]]), "10.0.0.1:8080")
  })

  it("has to be one of the service's ports, whatever the endpoint has", () => {
    assert.strictEqual(to(web, [[81, 9090]], 81), "10.96.0.1:81")
    const tunnel = { applicationTunnel: { protocol: "PROXY", port: 15088 } } as const
    const named = { ...web, ports: new Map([[80, 0]]) }
    for (const of of [web, named]) {
      const port = of === web ? 81 : 80
      const taken = way(ask({ workloads: [endpoint("w", 1, tunnel)], services: [of] }, `10.96.0.1:${port}`))
      assert.strictEqual(taken, `NoHealthyUpstream: no healthy upstream: 10.96.0.1:${port}`)
    }
  })

  it("that has a name goes to those who know the name", () => {
    const named = { ...web, ports: new Map([[80, 0]]) }
    const workloads = [
      endpoint("without", 1),
      endpoint("zero", 2, behind(web, [[80, 0]])),
      endpoint("with", 3, behind(web, [[80, 7070]]))
    ]
    assert.deepStrictEqual(
      [...ways({ workloads, services: [named] }, TARGET).keys()],
      ["hbone with 10.0.0.3:15008 10.0.0.3:7070"]
    )
  })
})

describe("locality", () => {
  const placed = (name: string, last: number, region: string, zone: string, rest: Partial<Workload> = {}) =>
    endpoint(name, last, { locality: { region, zone, subzone: "" }, ...rest })
  const from = { source: { ...source, locality: { region: "r", zone: "z", subzone: "" } } }
  const all = [placed("far", 1, "q", "z"), placed("region", 2, "r", "y"), placed("zone", 3, "r", "z")]

  it("does not matter in Standard mode", () => {
    assert.deepStrictEqual(reached(balanced("Standard", "Region", "Zone"), all, from), ["far", "region", "zone"])
  })

  it("leaves the nearest tier in Failover mode, counted to the first difference", () => {
    const failover = balanced("Failover", "Region", "Zone")
    assert.deepStrictEqual(reached(failover, all, from), ["zone"])
    assert.deepStrictEqual(reached(failover, all.slice(0, 2), from), ["region"])
    // the same zone in another region is as far as anything
    assert.deepStrictEqual(reached(failover, [all[0]!, placed("other", 4, "q", "y")], from), ["far", "other"])
    assert.deepStrictEqual(reached(balanced("Failover"), all, from), ["far", "region", "zone"])
  })

  it("goes on to the next tier when the nearest is unhealthy, not when it has no capacity", () => {
    const failover = balanced("Failover", "Region", "Zone")
    const [far, region, zone] = all as [Workload, Workload, Workload]
    assert.deepStrictEqual(reached(failover, [far, region, { ...zone, status: "Unhealthy" }], from), ["region"])
    assert.deepStrictEqual(reached(failover, [far, region, { ...zone, capacity: 0 }], from), ["no"])
  })

  it("leaves those that match in full in Strict mode, or nobody", () => {
    const strict = balanced("Strict", "Region", "Zone")
    assert.deepStrictEqual(reached(strict, all, from), ["zone"])
    assert.deepStrictEqual(reached(strict, all.slice(0, 2), from), ["no"])
    assert.deepStrictEqual(reached(balanced("Strict"), all, from), ["far", "region", "zone"])
  })

  it("is compared by each of its scopes", () => {
    const differing: ReadonlyArray<readonly [RoutingPreference, Partial<Workload>]> = [
      ["Region", { locality: { region: "q", zone: "z", subzone: "" } }],
      ["Zone", { locality: { region: "r", zone: "q", subzone: "" } }],
      ["Subzone", { locality: { region: "r", zone: "z", subzone: "q" } }],
      ["Node", { node: "q" }],
      ["Cluster", { clusterId: "q" }],
      ["Network", { network: "q", networkGateway: gateway("10.0.0.9") }]
    ]
    for (const [scope, rest] of differing) {
      const workloads = [placed("same", 1, "r", "z"), placed("other", 2, "r", "z", rest)]
      assert.deepStrictEqual(reached(balanced("Strict", scope), workloads, from), ["same"], scope)
    }
  })

  it("puts the network first: foreign ones count on, below everything of the own network", () => {
    const edge = workload("edge", ["10.0.0.9"])
    const remote = (name: string, region: string, zone: string) =>
      placed(name, 4, region, zone, { network: name, networkGateway: gateway("10.0.0.9") })
    const failover = balanced("Failover", "Network", "Region", "Zone")
    const near = remote("near", "r", "z")
    const away = remote("away", "r", "q")
    assert.deepStrictEqual(reached(failover, [edge, near, ...all], from), ["zone"])
    assert.deepStrictEqual(reached(failover, [edge, near, all[0]!], from), ["far"])
    const chosen = (...workloads: ReadonlyArray<Workload>) =>
      steps({ workloads, services: [failover] }, requestOf(TARGET, from)).flatMap((step) =>
        step._tag === "Balance" ? step.eligible.map(({ uid }) => uid.split("/").at(-1)) : []
      )
    assert.deepStrictEqual(chosen(edge, near, away), ["near"])
    assert.deepStrictEqual(chosen(edge, away, remote("none", "q", "z")), ["away"])
    // elsewhere in the list a foreign network ends the count as any other difference does
    const last = balanced("Failover", "Region", "Network", "Zone")
    assert.deepStrictEqual(reached(last, [placed("region", 1, "r", "q"), near], from), ["region"])
    assert.deepStrictEqual(reached(balanced("Strict", "Network"), [near], from), ["no"])
  })

  it("cannot be that of a workload that is nowhere", () => {
    const nowhere = (network: string, networkGateway: Workload["networkGateway"]) => ({
      ...endpoint("nowhere", 1, { network, networkGateway }),
      ips: []
    })
    const edge = workload("edge", ["10.0.0.9"])
    assert.deepStrictEqual(reached(web, [edge, nowhere("", gateway("10.0.0.9"))]), ["no"])
    assert.deepStrictEqual(reached(web, [edge, nowhere("far", undefined)]), ["no"])
    assert.deepStrictEqual(reached(web, [edge, nowhere("far", gateway("10.0.0.9"))]), ["edge"])
  })
})

describe("the less loaded of two", () => {
  const [a, b, c] = [endpoint("a", 1), endpoint("b", 2), endpoint("c", 3)] as const
  const loads = (open: Record<string, number>) => ({ loadOf: (uid: string) => open[uid.split("/").at(-1)!] ?? 0 })

  it("is taken, so the most loaded of all never is", () => {
    assert.deepStrictEqual(reached(web, [a, b, c], loads({ b: 2, c: 1 })), ["a", "c"])
    assert.deepStrictEqual(reached(web, [a, b], loads({ a: 1 })), ["b"])
    assert.deepStrictEqual(reached(web, [a], loads({ a: 9 })), ["a"])
  })

  it("is the one with less for its capacity", () => {
    const big = { ...a, capacity: 10 }
    assert.deepStrictEqual(reached(web, [big, b], loads({ a: 9, b: 1 })), ["a"])
    assert.deepStrictEqual(reached(web, [big, b], loads({ a: 11, b: 1 })), ["b"])
  })

  it("is the first of equals, so equal loads leave each its share", () => {
    const runs = 10_000
    const capacities = [1, 3, 6]
    const workloads = [a, b, c].map((each, index) => ({ ...each, capacity: capacities[index]! }))
    const open = loads({ a: 1, b: 3, c: 6 })
    const counts = ways({ workloads, services: [web] }, TARGET, open, runs)
    for (const [index, [, count]] of [...counts].toSorted(([x], [y]) => (x < y ? -1 : 1)).entries()) {
      const p = capacities[index]! / 10
      assert.closeTo(count, runs * p, 3 * Math.sqrt(runs * p * (1 - p)))
    }
  })

  it("is drawn from two that differ, the second one in proportion to the capacity of the rest", () => {
    const asked: Array<string> = []
    const runs = 10_000
    const workloads = [
      { ...a, capacity: 1 },
      { ...b, capacity: 2 },
      { ...c, capacity: 3 }
    ]
    for (let run = 0; run < runs; run++) {
      const pair: Array<string> = []
      const loadOf = (uid: string) => {
        pair.push(uid.split("/").at(-1)!)
        return 0
      }
      ask({ workloads, services: [web] }, TARGET, { random: run / runs, loadOf })
      asked.push(pair.toSorted().join())
    }
    // first · second/(rest) both ways round
    const expected = {
      "a,b": (1 / 6) * (2 / 5) + (2 / 6) * (1 / 4),
      "a,c": (1 / 6) * (3 / 5) + (3 / 6) * (1 / 3),
      "b,c": (2 / 6) * (3 / 4) + (3 / 6) * (2 / 3)
    }
    for (const [pair, p] of Object.entries(expected)) {
      assert.closeTo(asked.filter((each) => each === pair).length, runs * p, 3 * Math.sqrt(runs * p * (1 - p)), pair)
    }
  })
})

describe("the pools that are kept", () => {
  /** A mesh whose endpoints stay the same object, as the real one's do. */
  const lasting = (workloads: ReadonlyArray<Workload>, services: ReadonlyArray<Service>) => {
    const mesh = simpleMesh({ workloads, services, policies: [] })
    let reads = 0
    const { all } = mesh.endpoints(web)
    const endpoints: Endpoints = {
      get all() {
        reads += 1
        return all
      }
    }
    const kept: Mesh = { ...mesh, endpoints: () => endpoints }
    return { mesh: kept, reads: () => reads }
  }
  const choose = (mesh: Mesh, of: Service, from: Workload, port = 80, mode: "Standard" | "Waypoint" = "Standard") => {
    const request = requestOf(TARGET, { source: from })
    return chooseEndpoint({ mesh, request, draw: makeDraws(0.3), trace: undefined }, of, port, mode)?.workload.name
  }
  const workloads = [
    endpoint("one", 1, { node: "one" }),
    endpoint("two", 2, { node: "two" }),
    endpoint("tunnel", 3, { node: "tunnel", applicationTunnel: { protocol: "PROXY", port: 1 } })
  ]
  const onNode = (node: string) => ({ ...source, node })

  it("are made once for all who ask alike", () => {
    const { mesh, reads } = lasting(workloads, [web])
    for (let run = 0; run < 10; run++) choose(mesh, web, onNode(`${run}`))
    assert.strictEqual(reads(), 1)
    choose(mesh, web, source, 99)
    assert.strictEqual(reads(), 1)
  })

  it("are others for whoever would be answered otherwise", () => {
    const local = balanced("Strict", "Node")
    const { mesh } = lasting(workloads, [local])
    for (const node of ["one", "two", "one", "three", "two"]) {
      assert.strictEqual(choose(mesh, local, onNode(node)), node === "three" ? undefined : node)
    }
    // a service that changed, with the same endpoints
    assert.isDefined(choose(mesh, balanced("Failover", "Node"), onNode("three")))
    assert.isUndefined(choose(mesh, local, onNode("three")))
    assert.strictEqual(choose(mesh, local, onNode("one")), "one")
    const ports = { ...local, ports: new Map([...local.ports, [81, 0]]) }
    assert.strictEqual(choose(mesh, ports, onNode("tunnel"), 80), "tunnel")
    assert.strictEqual(choose(mesh, ports, onNode("tunnel"), 81), undefined)
    assert.strictEqual(choose(mesh, ports, onNode("tunnel"), 81, "Waypoint"), "tunnel")
    const nowhere = { ...workloads[0]!, ips: [], networkGateway: gateway("10.0.0.9") }
    const { mesh: bare } = lasting([nowhere], [web])
    assert.strictEqual(choose(bare, web, source), undefined)
    assert.strictEqual(choose(bare, web, { ...source, network: "far" }), "one")
  })

  it("are bounded, and right when there are too many", () => {
    const local = balanced("Failover", "Node")
    const { mesh, reads } = lasting(workloads, [local])
    for (let run = 0; run < 100; run++) choose(mesh, local, onNode(`${run}`))
    assert.strictEqual(choose(mesh, local, onNode("two")), "two")
    assert.strictEqual(reads(), 101)
    choose(mesh, local, onNode("99"))
    assert.strictEqual(reads(), 101)
    choose(mesh, local, onNode("0"))
    assert.strictEqual(reads(), 102)
  })
})

describe("the trace of a choice", () => {
  type Balance = Extract<Step, { readonly _tag: "Balance" }>
  const balance = (of: Service, workloads: ReadonlyArray<Workload>, target = TARGET): Balance | undefined =>
    steps({ workloads, services: [of] }, requestOf(target)).find((step) => step._tag === "Balance")
  const brief = (step: Balance | undefined) => ({
    eligible: step?.eligible.map(({ uid }) => uid.split("/").at(-1)),
    skipped: step?.skipped.map(({ why, workload: { uid } }) => `${uid.split("/").at(-1)}: ${why}`)
  })

  it("says who was left out, and why", () => {
    const named: Service = { ...balanced("Failover", "Node"), ports: new Map([[80, 0]]) }
    const good = behind(web, [[80, 8080]])
    const workloads = [
      endpoint("away", 1, { ...good, node: "n2" }),
      endpoint("empty", 2, { ...good, capacity: 0 }),
      endpoint("fine", 3, good),
      endpoint("nameless", 4),
      { ...endpoint("nowhere", 5, good), ips: [] },
      endpoint("sick", 6, { ...good, status: "Unhealthy" })
    ]
    const step = balance(named, workloads)
    assert.deepStrictEqual(brief(step), {
      eligible: ["fine"],
      skipped: [
        "nameless: no target port",
        "nowhere: no address and no gateway",
        "sick: unhealthy",
        "away: not local enough",
        "empty: no capacity"
      ]
    })
    assert.deepStrictEqual([step?.chosen?.name, step?.targetPort, step?.portKnown], ["fine", 8080, true])
  })

  it("says that the service has no such port, and nothing of its endpoints then", () => {
    const step = balance(web, [endpoint("fine", 1)], "10.96.0.1:81")
    assert.deepStrictEqual(brief(step), { eligible: [], skipped: [] })
    assert.deepStrictEqual([step?.chosen, step?.targetPort, step?.portKnown], [undefined, undefined, false])
  })

  it("says who has no application tunnel for a port that a waypoint's service does not have", () => {
    const gate = service("gate", ["10.96.0.9"], { ports: new Map() })
    const workloads = [
      workload("bare", ["10.0.0.1"], behind(gate)),
      workload("tunnel", ["10.0.0.2"], { ...behind(gate), applicationTunnel: { protocol: "NONE", port: 1 } })
    ]
    const step = steps(
      { workloads, services: [{ ...web, waypoint: gateway("10.96.0.9") }, gate] },
      requestOf(TARGET)
    ).find((each) => each._tag === "Balance")
    assert.deepStrictEqual(brief(step), { eligible: ["tunnel"], skipped: ["bare: no application tunnel"] })
    assert.isFalse(step?.portKnown)
  })
})
