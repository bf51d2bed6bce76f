import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { ipUnsafe, parseSocketAddress } from "../../../src/domain/Address.ts"
import { describe as textOf } from "../../../src/domain/connection/ProxyError.ts"
import { type OutboundRequest, resolve, resolveHostname, type Upstream } from "../../../src/domain/decide/Resolve.ts"
import * as Mesh from "../../../src/domain/mesh/Mesh.ts"
import type { LoadBalancer, Service } from "../../../src/domain/mesh/Service.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { behind, gateway, service, workload } from "../../support/meshes.ts"

const source = workload("client", ["10.0.0.100", "2001:db8::100"])

interface Given {
  readonly workloads?: ReadonlyArray<Workload>
  readonly services?: ReadonlyArray<Service>
}

const ask = (
  { services = [], workloads = [] }: Given,
  target: string,
  rest: Partial<OutboundRequest> = {}
): Result.Result<Upstream, string> => {
  const mesh = Mesh.make({ services, workloads: [source, ...workloads] })
  const address = Result.getOrThrow(parseSocketAddress(target))
  const request = { source, target: address, network: "", hbonePort: 15008, random: 0, ...rest }
  return Result.mapError(resolve(mesh, request), ({ reason }) => `${reason._tag}: ${textOf(reason)}`)
}

/** The brand of an identity is not put on by a test. */
const same = (actual: unknown, expected: unknown) => assert.deepStrictEqual(actual, expected)

const socket = (text: string) => Result.getOrThrow(parseSocketAddress(text))
const passthrough = (target: string) => Result.succeed({ _tag: "Passthrough", target: socket(target) })
const sent = (result: Result.Result<Upstream, string>) => {
  const upstream = Result.getOrThrow(result)
  if (upstream._tag === "Hbone") return `${upstream.workload.name} ${upstream.authority}`
  return upstream._tag === "Direct"
    ? `${upstream.workload.name} ${upstream.address.ip}:${upstream.address.port}`
    : "out"
}

const balanced = (mode: LoadBalancer["mode"], ...routingPreferences: LoadBalancer["routingPreferences"]) => ({
  loadBalancer: { mode, routingPreferences, healthPolicy: "OnlyHealthy" } as const
})

const web = service("web", ["10.96.0.1", "2001:db8:96::1"])
const pod = workload("pod", ["10.0.0.1"], behind(web))

describe("a workload's address", () => {
  it("is reached over HBONE where the workload speaks it", () => {
    same(
      ask({ workloads: [pod] }, "10.0.0.1:80", { hbonePort: 9008 }),
      Result.succeed({
        _tag: "Hbone",
        nextHop: socket("10.0.0.1:9008"),
        authority: "10.0.0.1:80",
        workload: pod,
        service: undefined,
        identities: ["spiffe://cluster.local/ns/shop/sa/default"]
      })
    )
    const six = workload("six", ["2001:db8::1"])
    assert.strictEqual(sent(ask({ workloads: [six] }, "[2001:db8::1]:80")), "six [2001:db8::1]:80")
  })

  it("is reached over TCP where it does not", () => {
    const plain = workload("plain", ["10.0.0.2"], { protocol: "TCP" })
    same(
      ask({ workloads: [plain] }, "10.0.0.2:80"),
      Result.succeed({ _tag: "Direct", address: socket("10.0.0.2:80"), workload: plain, service: undefined })
    )
  })

  it("that belongs to nobody, or to the host's network, is passed through", () => {
    same(ask({}, "192.0.2.1:443"), passthrough("192.0.2.1:443"))
    const host = workload("host", ["10.1.0.1"], { networkMode: "HostNetwork" })
    same(ask({ workloads: [host] }, "10.1.0.1:443"), passthrough("10.1.0.1:443"))
  })

  it("ignores the source's own waypoint and refuses to go past the destination's", () => {
    const from = { ...source, waypoint: gateway("10.0.0.9") }
    assert.strictEqual(sent(ask({ workloads: [pod] }, "10.0.0.1:80", { source: from })), "pod 10.0.0.1:80")
    same(
      ask({ workloads: [{ ...pod, waypoint: gateway("10.0.0.9") }] }, "10.0.0.1:80"),
      Result.fail("NotSupportedYet: not supported yet: the waypoint of workload Kubernetes//Pod/shop/pod")
    )
  })
})

describe("a service's address", () => {
  it("goes to an endpoint, with the port translated and the service's identities accepted too", () => {
    const named = service("web", ["10.96.0.1"], {
      subjectAltNames: ["spiffe://td/ns/a/sa/b", "not an identity", "spiffe://cluster.local/ns/shop/sa/default"]
    })
    same(
      ask({ workloads: [pod], services: [named] }, "10.96.0.1:80"),
      Result.succeed({
        _tag: "Hbone",
        nextHop: socket("10.0.0.1:15008"),
        authority: "10.0.0.1:8080",
        workload: pod,
        service: named,
        identities: ["spiffe://td/ns/a/sa/b", "spiffe://cluster.local/ns/shop/sa/default"]
      })
    )
    const plain = workload("plain", ["10.0.0.2"], { ...behind(web, [[80, 9090]]), protocol: "TCP" })
    same(
      ask({ workloads: [plain], services: [web] }, "10.96.0.1:80"),
      Result.succeed({ _tag: "Direct", address: socket("10.0.0.2:9090"), workload: plain, service: web })
    )
  })

  it("reaches a workload of the host's network, and a range of addresses works as one address does", () => {
    const host = workload("host", ["10.1.0.1"], { ...behind(web), networkMode: "HostNetwork" })
    assert.strictEqual(sent(ask({ workloads: [host], services: [web] }, "10.96.0.1:80")), "host 10.1.0.1:8080")
    const ranged = { ...web, vips: [], cidrVips: [{ network: "", cidr: "10.97.0.0/16" }] }
    assert.strictEqual(sent(ask({ workloads: [pod], services: [ranged] }, "10.97.3.4:80")), "pod 10.0.0.1:8080")
  })

  it("without anybody who could answer is an error, never passed through", () => {
    const refused = Result.fail("NoHealthyUpstream: no healthy upstream: 10.96.0.1:80")
    same(ask({ services: [web] }, "10.96.0.1:80"), refused)
    same(ask({ services: [web], workloads: [{ ...pod, status: "Unhealthy" }] }, "10.96.0.1:80"), refused)
    same(ask({ services: [web], workloads: [{ ...pod, capacity: 0 }] }, "10.96.0.1:80"), refused)
    const nowhere = { ...pod, ips: [] }
    same(ask({ services: [web], workloads: [nowhere] }, "10.96.0.1:80"), refused)
    same(
      ask({ services: [web], workloads: [pod] }, "10.96.0.1:81"),
      Result.fail("NoHealthyUpstream: no healthy upstream: 10.96.0.1:81")
    )
  })

  it("with a named port goes to those who have the name, on their port", () => {
    const named = { ...web, ports: new Map([[80, 0]]) }
    const workloads = [
      workload("without", ["10.0.0.1"], behind(named)),
      workload("zero", ["10.0.0.2"], behind(named, [[80, 0]])),
      workload("with", ["10.0.0.3"], behind(named, [[80, 7070]]))
    ]
    for (const random of [0, 0.5, 0.99]) {
      assert.strictEqual(sent(ask({ workloads, services: [named] }, "10.96.0.1:80", { random })), "with 10.0.0.3:7070")
    }
  })

  it("is passed through in Passthrough mode", () => {
    const through = { ...web, ...balanced("Passthrough") }
    same(ask({ workloads: [pod], services: [through] }, "10.96.0.1:80"), passthrough("10.96.0.1:80"))
  })

  it("with a waypoint is refused, in Passthrough mode too, unless no weight leads to one", () => {
    const refused = Result.fail(
      "NotSupportedYet: not supported yet: the waypoint of service shop/web.shop.svc.cluster.local"
    )
    const to = (rest: Partial<Service>) => ask({ workloads: [pod], services: [{ ...web, ...rest }] }, "10.96.0.1:80")
    assert.deepStrictEqual(to({ waypoint: gateway("10.0.0.9") }), refused)
    assert.deepStrictEqual(to({ waypoint: gateway("10.0.0.9"), ...balanced("Passthrough") }), refused)
    assert.deepStrictEqual(to({ weightedWaypoints: [{ destination: gateway("10.0.0.9"), weight: 1 }] }), refused)
    const weightless = to({ weightedWaypoints: [{ destination: gateway("10.0.0.9"), weight: 0 }] })
    assert.strictEqual(sent(weightless), "pod 10.0.0.1:8080")
  })

  it("is not the workload's that has the same address, nor does it need the workload's waypoint", () => {
    const twin = workload("twin", ["10.96.0.1"])
    const guarded = { ...pod, waypoint: gateway("10.0.0.9") }
    const both = { workloads: [twin, guarded], services: [web] }
    assert.strictEqual(sent(ask(both, "10.96.0.1:80")), "pod 10.0.0.1:8080")
    const closed = { ...both, services: [{ ...web, waypoint: gateway("10.0.0.9") }] }
    assert.isTrue(Result.isFailure(ask(closed, "10.96.0.1:80")))
  })

  it("that other namespaces may not see is not of the mesh for them", () => {
    const hidden: Service = { ...web, namespace: "other", visibility: "Namespace" }
    same(ask({ services: [hidden] }, "10.96.0.1:80"), passthrough("10.96.0.1:80"))
  })
})

describe("the endpoint", () => {
  const many = [
    workload("a", ["10.0.0.1"], { ...behind(web), capacity: 1 }),
    workload("none", ["10.0.0.2"], { ...behind(web), capacity: 0 }),
    workload("b", ["10.0.0.3"], { ...behind(web), capacity: 3 })
  ]

  it("is chosen in proportion to capacity", () => {
    const counts = new Map<string, number>()
    for (let step = 0; step < 400; step++) {
      const chosen = sent(ask({ workloads: many, services: [web] }, "10.96.0.1:80", { random: step / 400 }))
      counts.set(chosen, (counts.get(chosen) ?? 0) + 1)
    }
    assert.deepStrictEqual(
      counts,
      new Map([
        ["a 10.0.0.1:8080", 100],
        ["b 10.0.0.3:8080", 300]
      ])
    )
  })

  const placed = (name: string, ip: string, network: string, region: string, zone: string) =>
    workload(name, [ip], { ...behind(web), network, locality: { region, zone, subzone: "" } })
  const from = { ...source, locality: { region: "r", zone: "z", subzone: "" } }
  const all = [
    placed("far", "10.0.0.1", "", "q", "z"),
    placed("region", "10.0.0.2", "", "r", "y"),
    placed("zone", "10.0.0.3", "", "r", "z")
  ]
  const names = (service: Service, workloads: ReadonlyArray<Workload>) =>
    new Set(
      [0, 0.3, 0.6, 0.9].map((random) => {
        const result = ask({ workloads, services: [service] }, "10.96.0.1:80", { random, source: from })
        return Result.isSuccess(result) ? sent(result).split(" ")[0] : result.failure.split(":")[0]
      })
    )

  it("is one of the nearest tier in Failover mode, counted to the first difference", () => {
    const failover = { ...web, ...balanced("Failover", "Region", "Zone") }
    assert.deepStrictEqual(names(failover, all), new Set(["zone"]))
    assert.deepStrictEqual(names(failover, all.slice(0, 2)), new Set(["region"]))
    assert.deepStrictEqual(names(failover, all.slice(0, 1)), new Set(["far"]))
    assert.deepStrictEqual(
      names({ ...web, ...balanced("Standard", "Region") }, all),
      new Set(["far", "region", "zone"])
    )
  })

  it("matches everything in Strict mode", () => {
    const strict = { ...web, ...balanced("Strict", "Region", "Zone") }
    assert.deepStrictEqual(names(strict, all), new Set(["zone"]))
    assert.deepStrictEqual(names(strict, all.slice(0, 2)), new Set(["NoHealthyUpstream"]))
  })

  it("is never on another network while there is one on this, if Network is preferred first", () => {
    const remote = { ...placed("remote", "10.0.0.4", "elsewhere", "r", "z"), networkGateway: gateway("10.0.0.9") }
    const failover = { ...web, ...balanced("Failover", "Network", "Region", "Zone") }
    assert.deepStrictEqual(names(failover, [remote, ...all]), new Set(["zone"]))
    assert.deepStrictEqual(names(failover, [remote, all[0]!]), new Set(["far"]))
    const further = {
      ...remote,
      uid: "further",
      locality: { region: "q", zone: "q", subzone: "" },
      networkGateway: undefined
    }
    assert.deepStrictEqual(names(failover, [further, remote]), new Set(["NotSupportedYet"]))
    assert.deepStrictEqual(
      names({ ...web, ...balanced("Strict", "Network") }, [remote]),
      new Set(["NoHealthyUpstream"])
    )
  })
})

describe("another network", () => {
  const remote = workload("remote", ["10.0.0.1"], { ...behind(web), network: "far" })

  it("is refused where there is a gateway, and an error where there is none", () => {
    const ways = { workloads: [{ ...remote, networkGateway: gateway("10.0.0.9") }], services: [web] }
    same(
      ask(ways, "10.96.0.1:80"),
      Result.fail(
        'NotSupportedYet: not supported yet: the gateway to network "far" of workload Kubernetes//Pod/shop/remote'
      )
    )
    same(
      ask({ workloads: [remote], services: [web] }, "10.96.0.1:80"),
      Result.fail("NoValidDestination: no valid destination for workload: Kubernetes//Pod/shop/remote")
    )
  })

  it("of the source is where the address is looked up; the waypoint counts on either", () => {
    const from = { ...source, network: "far" }
    assert.strictEqual(sent(ask({ workloads: [remote] }, "10.0.0.1:80", { source: from })), "remote 10.0.0.1:80")
    same(ask({ workloads: [remote] }, "10.0.0.1:80"), passthrough("10.0.0.1:80"))
    const vips = [{ network: "far", ip: ipUnsafe("10.96.0.1") }]
    const there = { workloads: [remote], services: [{ ...web, vips }] }
    assert.strictEqual(sent(ask(there, "10.96.0.1:80", { source: from })), "remote 10.0.0.1:8080")
    const guarded = { ...there, services: [{ ...web, vips, waypoint: gateway("10.0.0.9") }] }
    assert.isTrue(Result.isFailure(ask(guarded, "10.96.0.1:80", { source: from })))
    same(
      ask({ workloads: [pod], services: [{ ...web, vips }] }, "10.96.0.1:80", { source: from }),
      Result.fail("NoService: no service for target address: 10.96.0.1:80")
    )
    // known here, nobody there
    same(
      ask({ services: [web] }, "10.96.0.1:80", { source: from }),
      Result.fail("NoHealthyUpstream: no healthy upstream: 10.96.0.1:80")
    )
  })
})

describe("the address of the chosen workload", () => {
  const dual = workload("dual", ["2001:db8::1", "10.0.0.1"], behind(web))

  it("is of the family that was asked for, if it has one and the service allows it", () => {
    const to = (target: string, ipFamilies: Service["ipFamilies"], chosen = dual) =>
      sent(ask({ workloads: [chosen], services: [{ ...web, ipFamilies }] }, target))
    assert.strictEqual(to("10.96.0.1:80", undefined), "dual 10.0.0.1:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", "Dual"), "dual [2001:db8::1]:8080")
    assert.strictEqual(to("10.96.0.1:80", "IPv6"), "dual [2001:db8::1]:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", "IPv4"), "dual 10.0.0.1:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", undefined, pod), "pod 10.0.0.1:8080")
    assert.strictEqual(sent(ask({ workloads: [dual] }, "10.0.0.1:80")), "dual 10.0.0.1:80")
  })

  it("is the one that was asked for, if the workload has it", () => {
    const two = workload("two", ["10.0.0.1", "10.0.0.2"])
    assert.strictEqual(sent(ask({ workloads: [two] }, "10.0.0.2:80")), "two 10.0.0.2:80")
  })

  it("may not exist", () => {
    const six = { ...web, ipFamilies: "IPv6" } as const
    same(
      ask({ workloads: [pod], services: [six] }, "10.96.0.1:80"),
      Result.fail("NoValidDestination: no valid destination for workload: Kubernetes//Pod/shop/pod")
    )
    const external = workload("external", [], { ...behind(web), hostname: "db.example" })
    same(
      ask({ workloads: [external], services: [web] }, "10.96.0.1:80"),
      Result.fail(
        "NotSupportedYet: not supported yet: workload Kubernetes//Pod/shop/external, which has no usable address but the hostname db.example"
      )
    )
  })
})

describe("resolveHostname", () => {
  const named = workload("db", ["10.0.0.5", "2001:db8::5"], { hostname: "db.example" })
  const headless = service("headless", [], { hostname: "db.example" })
  const remote = service("remote", [], { vips: [{ network: "far", ip: ipUnsafe("10.96.9.9") }] })
  const mesh = Mesh.make({ workloads: [named], services: [web, headless, remote] })
  const find = (name: string, family: "IPv4" | "IPv6", rest: Partial<Workload> = {}) =>
    resolveHostname(mesh, { ...source, ...rest }, name, family)

  it("gives a service's address of the client's family, else another", () => {
    assert.strictEqual(find("web.shop.svc.cluster.local", "IPv4"), ipUnsafe("10.96.0.1"))
    assert.strictEqual(find("WEB.shop.svc.cluster.local.", "IPv6"), ipUnsafe("2001:db8:96::1"))
    assert.strictEqual(find("remote.shop.svc.cluster.local", "IPv6", { network: "far" }), ipUnsafe("10.96.9.9"))
    assert.isUndefined(find("remote.shop.svc.cluster.local", "IPv4"))
  })

  it("gives a workload's address in its own namespace, and knows nothing else", () => {
    assert.strictEqual(find("db.example", "IPv6"), ipUnsafe("2001:db8::5"))
    assert.isUndefined(find("db.example", "IPv6", { namespace: "other" }))
    assert.isUndefined(find("example.com", "IPv4"))
    assert.isUndefined(find("", "IPv4"))
  })
})
