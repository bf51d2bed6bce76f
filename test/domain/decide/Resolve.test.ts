import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { type Ip, ipUnsafe } from "../../../src/domain/Address.ts"
import { resolve, resolveHostname } from "../../../src/domain/decide/Resolve.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import type { Service } from "../../../src/domain/mesh/Service.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { behind, gateway, service, workload } from "../../support/meshes.ts"
import { ask, byHostname, requestOf, socket, source, steps, way, ways } from "../../support/routing.ts"
import { simpleMesh } from "../../support/SimpleMesh.ts"

/** The brand of an identity is not put on by a test. */
const same = (actual: unknown, expected: unknown) => assert.deepStrictEqual(actual, expected)

const PASSTHROUGH = { mode: "Passthrough", routingPreferences: [], healthPolicy: "OnlyHealthy" } as const

const web = service("web", ["10.96.0.1", "2001:db8:96::1"])
const pod = workload("pod", ["10.0.0.1"], behind(web))
const waypoint = workload("waypoint", ["10.0.0.9", "2001:db8::9"], { serviceAccount: "waypoint" })

describe("a workload's address", () => {
  it("is reached over HBONE where the workload speaks it, on this node or another", () => {
    for (const node of ["n1", "n2"]) {
      const there = { ...pod, node }
      same(
        ask({ workloads: [there] }, "10.0.0.1:80", { hbonePort: 9008 }),
        Result.succeed({
          _tag: "Hbone",
          nextHop: socket("10.0.0.1:9008"),
          authority: "10.0.0.1:80",
          workload: there,
          service: undefined,
          identities: ["spiffe://cluster.local/ns/shop/sa/default"]
        })
      )
    }
    const six = workload("six", ["2001:db8::1"])
    assert.strictEqual(
      way(ask({ workloads: [six] }, "[2001:db8::1]:80")),
      "hbone six 2001:db8::1:15008 [2001:db8::1]:80"
    )
  })

  it("is reached over TCP where it does not, on this node or another", () => {
    for (const node of ["n1", "n2"]) {
      const plain = workload("plain", ["10.0.0.2"], { protocol: "TCP", node })
      same(
        ask({ workloads: [plain] }, "10.0.0.2:80"),
        Result.succeed({ _tag: "Direct", address: socket("10.0.0.2:80"), workload: plain, service: undefined })
      )
    }
  })

  it("that belongs to nobody, or to the host's network, is passed through", () => {
    assert.strictEqual(way(ask({}, "192.0.2.1:443")), "passthrough 192.0.2.1:443")
    const hosts = ["a", "b"].map((name) => workload(name, ["10.1.0.1"], { networkMode: "HostNetwork" }))
    assert.strictEqual(way(ask({ workloads: hosts }, "10.1.0.1:443")), "passthrough 10.1.0.1:443")
  })

  it("keeps the family that was asked for", () => {
    const dual = workload("dual", ["2001:db8::1", "10.0.0.1"])
    assert.strictEqual(way(ask({ workloads: [dual] }, "10.0.0.1:80")), "hbone dual 10.0.0.1:15008 10.0.0.1:80")
    const six = "hbone dual 2001:db8::1:15008 [2001:db8::1]:80"
    assert.strictEqual(way(ask({ workloads: [dual] }, "[2001:db8::1]:80")), six)
  })

  it("ignores the source's own waypoint", () => {
    const from = { ...source, waypoint: gateway("10.0.0.9") }
    const taken = way(ask({ workloads: [pod, waypoint] }, "10.0.0.1:80", { source: from }))
    assert.strictEqual(taken, "hbone pod 10.0.0.1:15008 10.0.0.1:80")
  })
})

describe("a workload's waypoint", () => {
  const guarded = { ...pod, waypoint: gateway("10.0.0.9") }

  it("is asked for the workload's address", () => {
    same(
      ask({ workloads: [guarded, waypoint] }, "10.0.0.1:80"),
      Result.succeed({
        _tag: "Hbone",
        nextHop: socket("10.0.0.9:15008"),
        authority: "10.0.0.1:80",
        workload: waypoint,
        service: undefined,
        identities: ["spiffe://cluster.local/ns/shop/sa/waypoint"]
      })
    )
  })

  it("is spoken to over HBONE whatever it declares, on the port of the reference", () => {
    const tcp = { ...waypoint, protocol: "TCP" } as const
    const elsewhere = { ...guarded, waypoint: { ...gateway("10.0.0.9"), hboneMtlsPort: 15099 } }
    const taken = way(ask({ workloads: [elsewhere, tcp] }, "10.0.0.1:80"))
    assert.strictEqual(taken, "hbone waypoint 10.0.0.9:15099 10.0.0.1:80")
  })

  it("has the family of the reference, when that is an address, and the target's when it is a name", () => {
    const dual = { ...guarded, ips: [ipUnsafe("10.0.0.1"), ipUnsafe("2001:db8::1")] }
    const taken = way(ask({ workloads: [dual, waypoint] }, "[2001:db8::1]:80"))
    assert.strictEqual(taken, "hbone waypoint 10.0.0.9:15008 [2001:db8::1]:80")
    const named = { ...waypoint, hostname: "waypoint.example" }
    const byName = { ...dual, waypoint: byHostname("waypoint.example") }
    const six = way(ask({ workloads: [byName, named] }, "[2001:db8::1]:80"))
    assert.strictEqual(six, "hbone waypoint 2001:db8::9:15008 [2001:db8::1]:80")
  })

  it("that nobody knows is an error, never gone past", () => {
    assert.strictEqual(
      way(ask({ workloads: [guarded] }, "10.0.0.1:80")),
      "UnknownWaypoint: unknown waypoint: waypoint 10.0.0.9:15008 not found"
    )
  })

  it("is not in the way of a service's endpoint", () => {
    assert.strictEqual(
      way(ask({ workloads: [guarded, waypoint], services: [web] }, "10.96.0.1:80")),
      "hbone pod 10.0.0.1:15008 10.0.0.1:8080"
    )
  })

  it("is not in its own way", () => {
    const own = { source: waypoint, sourceIp: ipUnsafe("2001:db8::9") }
    const given = { workloads: [guarded] }
    assert.strictEqual(way(ask(given, "10.0.0.1:80", own)), "hbone pod 10.0.0.1:15008 10.0.0.1:80")
    // another pod of its identity, and its identity at another's address
    const twin = { ...waypoint, uid: "twin", name: "twin", ips: [ipUnsafe("10.0.0.8")] }
    const others = { workloads: [guarded, waypoint] }
    const through = "hbone waypoint 10.0.0.9:15008 10.0.0.1:80"
    assert.strictEqual(way(ask(others, "10.0.0.1:80", { source: twin, sourceIp: ipUnsafe("10.0.0.8") })), through)
    assert.strictEqual(way(ask(others, "10.0.0.1:80", { sourceIp: ipUnsafe("10.0.0.9") })), through)
  })

  it("is one of a service, and then none of its pods goes through another", () => {
    const gate = service("gate", ["10.96.0.9"], { ports: new Map([[15008, 15008]]) })
    const pods = ["10.0.0.8", "10.0.0.9"].map((ip) =>
      workload(`gate-${ip}`, [ip], { ...behind(gate), serviceAccount: "gate" })
    )
    for (const reference of [gateway("10.96.0.9"), byHostname(gate.hostname)]) {
      const given = { workloads: [{ ...guarded, waypoint: reference }, ...pods], services: [gate] }
      const [own] = pods
      const taken = way(ask(given, "10.0.0.1:80", { source: own!, sourceIp: ipUnsafe("10.0.0.8") }))
      assert.strictEqual(taken, "hbone pod 10.0.0.1:15008 10.0.0.1:80")
      assert.strictEqual(ways(given, "10.0.0.1:80").size, 2)
    }
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

  it("reaches the right one of several workloads on the host's network", () => {
    const other = service("other", ["10.96.0.2"])
    const workloads = [other, web].map((of) =>
      workload(`host-${of.name}`, ["10.1.0.1"], { ...behind(of), networkMode: "HostNetwork" })
    )
    const given = { workloads, services: [web, other] }
    assert.strictEqual(way(ask(given, "10.96.0.1:80")), "hbone host-web 10.1.0.1:15008 10.1.0.1:8080")
    assert.strictEqual(way(ask(given, "10.96.0.2:80")), "hbone host-other 10.1.0.1:15008 10.1.0.1:8080")
  })

  it("may be in a range", () => {
    const ranged = { ...web, vips: [], cidrVips: [{ network: "", cidr: parseCidr("10.97.0.0/16")! }] }
    const taken = way(ask({ workloads: [pod], services: [ranged] }, "10.97.3.4:80"))
    assert.strictEqual(taken, "hbone pod 10.0.0.1:15008 10.0.0.1:8080")
  })

  it("without anybody who could answer is an error, never passed through", () => {
    const refused = "NoHealthyUpstream: no healthy upstream: 10.96.0.1:80"
    const to = (...workloads: ReadonlyArray<Workload>) => way(ask({ services: [web], workloads }, "10.96.0.1:80"))
    assert.strictEqual(to(), refused)
    assert.strictEqual(to({ ...pod, status: "Unhealthy" }), refused)
    assert.strictEqual(to({ ...pod, capacity: 0 }), refused)
    assert.strictEqual(to({ ...pod, ips: [] }), refused)
    assert.strictEqual(
      way(ask({ services: [web], workloads: [pod] }, "10.96.0.1:81")),
      "NoHealthyUpstream: no healthy upstream: 10.96.0.1:81"
    )
  })

  it("is passed through in Passthrough mode", () => {
    const through = { ...web, loadBalancer: PASSTHROUGH }
    assert.strictEqual(way(ask({ workloads: [pod], services: [through] }, "10.96.0.1:80")), "passthrough 10.96.0.1:80")
  })

  it("is not the workload's that has the same address", () => {
    const twin = workload("twin", ["10.96.0.1"])
    const both = { workloads: [twin, pod, waypoint], services: [web] }
    assert.strictEqual(way(ask(both, "10.96.0.1:80")), "hbone pod 10.0.0.1:15008 10.0.0.1:8080")
    const closed = { ...both, services: [{ ...web, waypoint: gateway("10.0.0.9") }] }
    assert.strictEqual(way(ask(closed, "10.96.0.1:80")), "hbone waypoint 10.0.0.9:15008 10.96.0.1:80")
  })

  it("that other namespaces may not see is not of the mesh for them", () => {
    const hidden: Service = { ...web, namespace: "other", visibility: "Namespace" }
    assert.strictEqual(way(ask({ services: [hidden] }, "10.96.0.1:80")), "passthrough 10.96.0.1:80")
  })

  it("is the client's own namespace's, then the canonical one's, where services share it", () => {
    const canonical = { ...web, namespace: "a", canonical: true }
    const last = { ...web, namespace: "b" }
    const reached = ["a", "b", "shop"].map((namespace) =>
      workload(namespace, [`10.0.1.${namespace.length}`], behind({ ...web, namespace }))
    )
    const pick = (...services: ReadonlyArray<Service>) =>
      way(ask({ workloads: reached, services }, "10.96.0.1:80")).split(" ")[1]
    assert.strictEqual(pick(canonical, last, web), "shop")
    assert.strictEqual(pick(last, canonical), "a")
  })
})

describe("a service's waypoint", () => {
  it("is asked for the service's address, untranslated", () => {
    const guarded = { ...web, waypoint: gateway("10.0.0.9"), subjectAltNames: ["spiffe://td/ns/a/sa/b"] }
    same(
      ask({ workloads: [pod, waypoint], services: [guarded] }, "10.96.0.1:80"),
      Result.succeed({
        _tag: "Hbone",
        nextHop: socket("10.0.0.9:15008"),
        authority: "10.96.0.1:80",
        workload: waypoint,
        service: guarded,
        identities: ["spiffe://cluster.local/ns/shop/sa/waypoint"]
      })
    )
  })

  it("comes before Passthrough mode, and needs neither endpoints nor the port", () => {
    const guarded = { ...web, waypoint: gateway("10.0.0.9"), loadBalancer: PASSTHROUGH }
    const taken = way(ask({ workloads: [waypoint], services: [guarded] }, "10.96.0.1:81"))
    assert.strictEqual(taken, "hbone waypoint 10.0.0.9:15008 10.96.0.1:81")
  })

  it("that nobody knows is an error", () => {
    const guarded = { ...web, waypoint: byHostname("gone.example") }
    assert.strictEqual(
      way(ask({ workloads: [pod], services: [guarded] }, "10.96.0.1:80")),
      "UnknownWaypoint: unknown waypoint: waypoint shop/gone.example:15008 not found"
    )
  })

  it("on another network is reached through its gateway, for its own service's names", () => {
    const gate = service("gate", ["10.96.0.9"], {
      ports: new Map([[15008, 15008]]),
      subjectAltNames: ["spiffe://td/ns/a/sa/gate"]
    })
    const away = { ...waypoint, ...behind(gate), network: "far", networkGateway: gateway("10.0.0.7") }
    const edge = workload("edge", ["10.0.0.7"], { serviceAccount: "edge" })
    const guarded = { ...web, waypoint: byHostname(gate.hostname), subjectAltNames: ["spiffe://td/ns/a/sa/web"] }
    same(
      ask({ workloads: [pod, away, edge], services: [guarded, gate] }, "10.96.0.1:80"),
      Result.succeed({
        _tag: "DoubleHbone",
        nextHop: socket("10.0.0.7:15008"),
        authority: "web.shop.svc.cluster.local:80",
        gateway: edge,
        endpoint: away,
        gatewayIdentities: ["spiffe://cluster.local/ns/shop/sa/edge"],
        service: guarded,
        identities: ["spiffe://td/ns/a/sa/gate"]
      })
    )
  })
})

describe("another network", () => {
  const remote = workload("remote", ["10.0.0.1"], {
    ...behind(web, [[80, 9090]]),
    network: "far",
    networkGateway: gateway("10.0.0.7")
  })
  const edge = workload("edge", ["10.0.0.7"], { serviceAccount: "edge" })
  const named = { ...web, subjectAltNames: ["spiffe://td/ns/a/sa/b", "nonsense"] }

  it("is reached by a tunnel to its gateway and one in it, by the service's name and port", () => {
    same(
      ask({ workloads: [remote, edge], services: [named] }, "10.96.0.1:80"),
      Result.succeed({
        _tag: "DoubleHbone",
        nextHop: socket("10.0.0.7:15008"),
        authority: "web.shop.svc.cluster.local:80",
        gateway: edge,
        endpoint: remote,
        gatewayIdentities: ["spiffe://cluster.local/ns/shop/sa/edge"],
        service: named,
        identities: ["spiffe://td/ns/a/sa/b"]
      })
    )
  })

  it("accepts nobody at the far end for a service without names", () => {
    const upstream = Result.getOrThrow(ask({ workloads: [remote, edge], services: [web] }, "10.96.0.1:80"))
    same(upstream._tag === "DoubleHbone" && upstream.identities, [])
  })

  it("has gateways by hostname, on the port that their service translates to, under its names", () => {
    const gates = service("gates", [], {
      ports: new Map([[15009, 15008]]),
      subjectAltNames: ["spiffe://td/ns/a/sa/gates"]
    })
    const given = {
      workloads: [
        { ...remote, networkGateway: byHostname(gates.hostname, 15009) },
        { ...edge, ...behind(gates) }
      ],
      services: [web, gates]
    }
    const upstream = Result.getOrThrow(ask(given, "10.96.0.1:80"))
    assert.strictEqual(way(Result.succeed(upstream)), "double edge 10.0.0.7:15008 web.shop.svc.cluster.local:80")
    same(upstream._tag === "DoubleHbone" && upstream.gatewayIdentities, [
      "spiffe://td/ns/a/sa/gates",
      "spiffe://cluster.local/ns/shop/sa/edge"
    ])
    // the mode of waypoints, which forgives a port that the service does not have, is not that of gateways
    const tunnelled = { ...edge, ...behind(gates), applicationTunnel: { protocol: "NONE", port: 15088 } } as const
    const wrong = { ...remote, networkGateway: byHostname(gates.hostname, 15010) }
    assert.strictEqual(
      way(ask({ ...given, workloads: [wrong, tunnelled] }, "10.96.0.1:80")),
      "UnknownNetworkGateway: unknown network gateway: network gateway shop/gates.shop.svc.cluster.local:15010 not found"
    )
  })

  it("may be all that is left, and its workloads need no address then", () => {
    const prefersLocal = {
      ...named,
      loadBalancer: { mode: "Failover", routingPreferences: ["Network"], healthPolicy: "OnlyHealthy" }
    } as const
    const local = { ...pod, ips: [ipUnsafe("10.0.0.2")] }
    const away = { ...remote, ips: [] }
    const to = (status: Workload["status"]) =>
      ways({ workloads: [{ ...local, status }, away, edge], services: [prefersLocal] }, "10.96.0.1:80")
        .keys()
        .toArray()
    same(to("Healthy"), ["hbone pod 10.0.0.2:15008 10.0.0.2:8080"])
    same(to("Unhealthy"), ["double edge 10.0.0.7:15008 web.shop.svc.cluster.local:80"])
  })

  it("without a gateway, or with one that nobody knows, is an error", () => {
    const without = { ...remote, networkGateway: undefined }
    assert.strictEqual(
      way(ask({ workloads: [without], services: [web] }, "10.96.0.1:80")),
      "NoValidDestination: no valid routing destination for workload: Kubernetes//Pod/shop/remote"
    )
    assert.strictEqual(
      way(ask({ workloads: [remote], services: [web] }, "10.96.0.1:80")),
      "UnknownNetworkGateway: unknown network gateway: network gateway 10.0.0.7:15008 not found"
    )
    const nowhere = { ...edge, ips: [], hostname: "" }
    const byName = { ...remote, networkGateway: byHostname("edge.example") }
    assert.strictEqual(
      way(ask({ workloads: [byName, { ...nowhere, hostname: "edge.example" }], services: [web] }, "10.96.0.1:80")),
      "NameNeeded: edge.example"
    )
  })

  it("of the source is where the address is looked up; a service that is known on either counts", () => {
    const from = { source: { ...source, network: "far" } }
    const single = { ...remote, networkGateway: undefined }
    assert.strictEqual(
      way(ask({ workloads: [single] }, "10.0.0.1:80", from)),
      "hbone remote 10.0.0.1:15008 10.0.0.1:80"
    )
    assert.strictEqual(way(ask({ workloads: [single] }, "10.0.0.1:80")), "passthrough 10.0.0.1:80")

    const vips = [{ network: "far", ip: ipUnsafe("10.96.0.1") }]
    const there = { ...web, vips }
    const far = (workloads: ReadonlyArray<Workload>, ...services: ReadonlyArray<Service>) =>
      way(ask({ workloads, services }, "10.96.0.1:80", from))
    assert.strictEqual(far([single], there), "hbone remote 10.0.0.1:15008 10.0.0.1:9090")
    assert.strictEqual(
      far([single, waypoint], { ...there, waypoint: gateway("10.0.0.9") }),
      "NoValidDestination: no valid routing destination for workload: Kubernetes//Pod/shop/waypoint"
    )
    const near = { ...waypoint, network: "far" }
    const reference = { ...gateway("10.0.0.9"), destination: { ...gateway("10.0.0.9").destination, network: "far" } }
    assert.strictEqual(
      far([single, near], { ...there, waypoint: reference } as Service),
      "hbone waypoint 10.0.0.9:15008 10.96.0.1:80"
    )
    assert.strictEqual(far([pod], there), "NoService: no service for target address: 10.96.0.1:80")
    // known here, nobody there; known there, and nobody behind it; here one is meant, there the kernel
    const refused = "NoHealthyUpstream: no healthy upstream: 10.96.0.1:80"
    assert.strictEqual(far([], web), refused)
    assert.strictEqual(far([], there), refused)
    const kernel = { ...there, hostname: "kernel.example", loadBalancer: PASSTHROUGH }
    assert.strictEqual(far([], web, kernel), refused)
    assert.strictEqual(far([], { ...web, loadBalancer: PASSTHROUGH }, kernel), "passthrough 10.96.0.1:80")
  })
})

describe("the address of the chosen workload", () => {
  const dual = workload("dual", ["2001:db8::1", "10.0.0.1"], behind(web))

  it("is of the family that was asked for, if it has one and the service allows it", () => {
    const to = (target: string, ipFamilies: Service["ipFamilies"], chosen = dual) =>
      way(ask({ workloads: [chosen], services: [{ ...web, ipFamilies }] }, target))
        .split(" ")
        .at(-1)
    assert.strictEqual(to("10.96.0.1:80", undefined), "10.0.0.1:8080")
    assert.strictEqual(to("10.96.0.1:80", "IPv4"), "10.0.0.1:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", "Dual"), "[2001:db8::1]:8080")
    assert.strictEqual(to("10.96.0.1:80", "IPv6"), "[2001:db8::1]:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", "IPv4"), "10.0.0.1:8080")
    assert.strictEqual(to("[2001:db8:96::1]:80", undefined, pod), "10.0.0.1:8080")
  })

  it("is the one that was asked for, if the workload has it, whatever the service allows", () => {
    const two = workload("two", ["10.0.0.1", "10.0.0.2"])
    assert.strictEqual(way(ask({ workloads: [two] }, "10.0.0.2:80")), "hbone two 10.0.0.2:15008 10.0.0.2:80")
    const shared = { ...service("shared", ["10.0.0.2"]), ipFamilies: "IPv6" } as const
    const its = workload("its", ["2001:db8::3", "10.0.0.2"], behind(shared))
    const taken = way(ask({ workloads: [its], services: [shared] }, "10.0.0.2:80"))
    assert.strictEqual(taken, "hbone its 10.0.0.2:15008 10.0.0.2:8080")
  })

  it("may be of no family that the service allows", () => {
    const six = { ...web, ipFamilies: "IPv6" } as const
    assert.strictEqual(
      way(ask({ workloads: [pod], services: [six] }, "10.96.0.1:80")),
      "NoValidDestination: no valid routing destination for workload: Kubernetes//Pod/shop/pod"
    )
  })
})

describe("a workload with a hostname and no address", () => {
  const external = workload("external", [], { ...behind(web), hostname: "db.example", protocol: "TCP" })
  const given = { workloads: [external], services: [web] }
  const named = (...ips: ReadonlyArray<string>) => ({ names: () => ips.map(ipUnsafe) })

  it("needs the hostname's addresses, and the same connection makes the same choices when they are there", () => {
    assert.strictEqual(way(ask(given, "10.96.0.1:80")), "NameNeeded: db.example")
    const workloads = [1, 2, 3, 4, 5].map((each) => ({
      ...external,
      uid: `e${each}`,
      name: `e${each}`,
      hostname: `${each}.example`
    }))
    for (let run = 0; run < 50; run++) {
      const random = run / 50
      const needed = way(ask({ workloads, services: [web] }, "10.96.0.1:80", { random }))
      const names = (hostname: string) => [ipUnsafe(`192.0.2.${hostname.slice(0, 1)}`)]
      const taken = way(ask({ workloads, services: [web] }, "10.96.0.1:80", { random, names }))
      const [digit] = needed.slice("NameNeeded: ".length)
      assert.strictEqual(taken, `tcp e${digit} 192.0.2.${digit}:8080`)
    }
  })

  it("is reached at a random one of the family that was asked for, else of the other", () => {
    const all = named("192.0.2.1", "2001:db8::1", "192.0.2.2")
    same([...ways(given, "10.96.0.1:80", all).keys()].toSorted(), [
      "tcp external 192.0.2.1:8080",
      "tcp external 192.0.2.2:8080"
    ])
    same([...ways(given, "[2001:db8:96::1]:80", all).keys()], ["tcp external 2001:db8::1:8080"])
    assert.strictEqual(ways(given, "[2001:db8:96::1]:80", named("192.0.2.1", "192.0.2.2")).size, 2)
  })

  it("whose name has no address is an error", () => {
    assert.strictEqual(
      way(ask(given, "10.96.0.1:80", named())),
      "NoResolvedAddresses: no ip addresses were resolved for workload: Kubernetes//Pod/shop/external"
    )
  })

  it("is asked by name also if the service allows none of its addresses; the service's family is not asked of the names", () => {
    const six = { ...web, ipFamilies: "IPv6" } as const
    const both = { ...external, ips: [ipUnsafe("10.0.0.1")] }
    const taken = way(ask({ workloads: [both], services: [six] }, "10.96.0.1:80", named("192.0.2.1")))
    assert.strictEqual(taken, "tcp external 192.0.2.1:8080")
  })

  it("may be a waypoint", () => {
    const guarded = { ...web, waypoint: byHostname("db.example") }
    const taken = way(ask({ ...given, services: [guarded] }, "10.96.0.1:80", named("192.0.2.1")))
    assert.strictEqual(taken, "hbone external 192.0.2.1:15008 10.96.0.1:80")
  })
})

describe("a trace", () => {
  const tags = (...args: Parameters<typeof steps>) => steps(...args).map(({ _tag }) => _tag)

  it("tells the way to an endpoint", () => {
    const told = steps({ workloads: [pod], services: [web] }, requestOf("10.96.0.1:80"))
    same(
      told.map(({ _tag }) => _tag),
      ["VipLookup", "Balance", "AddressChosen"]
    )
    const [lookup, balance, address] = told
    same(lookup?._tag === "VipLookup" && [lookup.found, lookup.hidden], [web, undefined])
    same(balance?._tag === "Balance" && [balance.chosen, balance.targetPort], [pod, 8080])
    same(address?._tag === "AddressChosen" && [address.ip, address.byName], ["10.0.0.1", false])
  })

  it("tells of a service that the client may not see", () => {
    const hidden: Service = { ...web, namespace: "other", visibility: "Namespace" }
    const [first, ...rest] = steps({ services: [hidden] }, requestOf("10.96.0.1:80"))
    same(first?._tag === "VipLookup" && [first.found, first.hidden], [undefined, hidden])
    same(
      rest.map(({ _tag }) => _tag),
      ["WorkloadLookup"]
    )
  })

  it("tells the way through waypoints, gateways, passthrough services and names", () => {
    const guarded = { ...web, waypoint: gateway("10.0.0.9") }
    const through = ["VipLookup", "Via", "VipLookup", "WorkloadLookup", "ViaResolved"]
    same(tags({ workloads: [waypoint], services: [guarded] }, requestOf("10.96.0.1:80")), [...through, "AddressChosen"])
    const away = { ...waypoint, network: "far", networkGateway: byHostname("edge.example") }
    const named = { ...guarded, waypoint: byHostname("waypoint.example") }
    const there = { workloads: [{ ...away, hostname: "waypoint.example" }], services: [named] }
    same(tags(there, requestOf("10.96.0.1:80")), [
      "VipLookup",
      "Via",
      "HostnameLookup",
      "ViaResolved",
      "OtherNetwork",
      "Via",
      "HostnameLookup",
      "ViaNotFound"
    ])
    const passed = { ...web, loadBalancer: PASSTHROUGH }
    same(tags({ services: [passed] }, requestOf("10.96.0.1:80")), ["VipLookup", "PassthroughMode"])
    const own = { source: waypoint, sourceIp: ipUnsafe("10.0.0.9") }
    same(tags({ workloads: [pod], services: [guarded] }, requestOf("10.96.0.1:80", own)), [
      "VipLookup",
      "FromWaypoint",
      "Balance",
      "AddressChosen"
    ])
    same(tags({ workloads: [{ ...pod, waypoint: gateway("10.0.0.9") }] }, requestOf("10.0.0.1:80", own)), [
      "VipLookup",
      "WorkloadLookup",
      "FromWaypoint",
      "AddressChosen"
    ])
  })

  it("changes nothing", () => {
    const workloads = [1, 2, 3, 4].map((each) => workload(`w${each}`, [`10.0.0.${each}`], behind(web)))
    const mesh = simpleMesh({ workloads, services: [web], policies: [] })
    for (let run = 0; run < 20; run++) {
      const request = requestOf("10.96.0.1:80", { random: run / 20 })
      same(
        resolve(mesh, request, () => {}),
        resolve(mesh, request)
      )
    }
  })
})

describe("resolveHostname", () => {
  const db = workload("db", ["10.0.0.5", "2001:db8::5"], { hostname: "db.example" })
  const headless = service("headless", [], { hostname: "db.example" })
  const remote = service("remote", [], { vips: [{ network: "far", ip: ipUnsafe("10.96.9.9") }] })
  const mesh = simpleMesh({ workloads: [db], services: [web, headless, remote], policies: [] })
  const find = (name: string, family: "IPv4" | "IPv6", rest: Partial<Workload> = {}): Ip | undefined =>
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
