import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { formatSocketAddress, ipUnsafe, parseSocketAddress } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { httpStatus } from "../../../src/domain/connection/ProxyError.ts"
import {
  dialledAddress,
  guessService,
  type InboundRequest,
  inboundTarget
} from "../../../src/domain/decide/InboundTarget.ts"
import type { Step } from "../../../src/domain/decide/Trace.ts"
import type { Mesh } from "../../../src/domain/mesh/Mesh.ts"
import type { Service } from "../../../src/domain/mesh/Service.ts"
import type { ApplicationTunnel, GatewayAddress, Workload } from "../../../src/domain/mesh/Workload.ts"
import { parseAuthority } from "../../../src/domain/wire/Authority.ts"
import { behind, gateway, service, workload } from "../../support/meshes.ts"
import { simpleMesh } from "../../support/SimpleMesh.ts"

const socket = (text: string) => Result.getOrThrow(parseSocketAddress(text))
const meshOf = (workloads: ReadonlyArray<Workload>, services: ReadonlyArray<Service>) =>
  simpleMesh({ workloads, services, policies: [] })

/** `target service`, and where a PROXY header goes in front ` as destination`; or `status reason`. */
const askOf = (mesh: Mesh, request: Omit<InboundRequest, "connected" | "authority">, connected: string) => {
  return (authority: string, rest: Partial<InboundRequest> = {}) => {
    const found = inboundTarget(mesh, {
      connected: socket(connected),
      authority: Result.getOrThrow(parseAuthority(authority)),
      ...request,
      ...rest
    })
    return Result.match(found, {
      onSuccess: ({ proxy, service, target }) =>
        `${formatSocketAddress(target)} ${service?.name ?? "-"}${proxy ? ` as ${formatSocketAddress(proxy.destination)}` : ""}`,
      onFailure: ({ message, reason }) => `${httpStatus(reason)} ${message}`
    })
  }
}

const REQUEST = { forwardedHost: undefined, illegalPorts: [15001, 15008], network: "" }

describe("an inbound stream to a pod", () => {
  const web = service("web", ["10.96.0.1"])
  const api = service("api", ["10.96.0.2"], {
    ports: new Map([
      [80, 0],
      [443, 8443]
    ])
  })
  const hidden = service("hidden", [], { namespace: "other", visibility: "Namespace" })
  const elsewhere = service("elsewhere", ["10.96.0.9"])
  const pod = workload("pod", ["10.0.0.1"], {
    services: new Map([...behind(web).services, ...behind(api, [[80, 7070]]).services])
  })
  const neighbour = workload("neighbour", ["10.0.0.2"], behind(elsewhere))
  const mesh = meshOf([pod, neighbour], [web, api, hidden, elsewhere])
  const ask = askOf(mesh, { ...REQUEST, workload: pod }, "10.0.0.1:15008")

  it("goes to the address that was connected to, on the port of its authority", () => {
    assert.strictEqual(ask("10.0.0.1:9999"), "10.0.0.1:9999 -")
    assert.strictEqual(ask("[::ffff:10.0.0.1]:8080"), "10.0.0.1:8080 web")
  })

  it("for another address is refused, be it a pod's, a service's or nobody's", () => {
    assert.strictEqual(ask("10.0.0.2:80"), "400 ip mismatch: 10.0.0.1 != 10.0.0.2")
    assert.strictEqual(ask("10.96.0.1:80"), "400 ip mismatch: 10.0.0.1 != 10.96.0.1")
    assert.strictEqual(ask("192.0.2.1:80"), "400 ip mismatch: 10.0.0.1 != 192.0.2.1")
  })

  it("for a service goes to the port that this workload has for it", () => {
    assert.strictEqual(ask("web.shop.svc.cluster.local:80"), "10.0.0.1:8080 web")
    assert.strictEqual(ask("api.shop.svc.cluster.local:80"), "10.0.0.1:7070 api")
    assert.strictEqual(ask("API.shop.svc.cluster.local.:443"), "10.0.0.1:8443 api")
  })

  it("for a service or port that it does not know, or that it is not behind, is refused", () => {
    assert.strictEqual(
      ask("web.shop.svc.cluster.local:81"),
      "503 requested service web.shop.svc.cluster.local:81 found, but cannot resolve port"
    )
    const unknown = (host: string) =>
      assert.strictEqual(ask(`${host}:80`), `503 no service or workload for hostname: ${host}`)
    unknown("nobody")
    unknown("hidden.shop.svc.cluster.local")
    unknown("elsewhere.shop.svc.cluster.local")
  })

  it("for one of our own ports is refused, also by way of a service or of an application tunnel", () => {
    const refused = "503 attempted recursive call to ourselves"
    assert.strictEqual(ask("10.0.0.1:15001"), refused)
    assert.strictEqual(ask("api.shop.svc.cluster.local:80", { illegalPorts: [7070] }), refused)
    assert.strictEqual(ask("10.0.0.1:15001", { workload: tunnelled(pod, "NONE", 9000) }), refused)
    assert.strictEqual(ask("10.0.0.1:80", { workload: tunnelled(pod, "PROXY", 15001) }), refused)
  })
})

/** The cases that reference datapath §11.2 pins, and as many again. */
describe("an inbound stream to a waypoint", () => {
  const WAYPOINT = "127.0.0.3"
  /** The waypoint's service is named by its VIP, and the waypoint itself by its address. */
  const byService: GatewayAddress = gateway("10.10.0.2")
  const byWorkload: GatewayAddress = gateway(WAYPOINT)
  const named = (namespace: string, hostname: string): GatewayAddress => ({
    destination: { _tag: "Hostname", namespace, hostname },
    hboneMtlsPort: 15008
  })
  const own = service("waypoint", ["10.10.0.2"])
  const waypoint = workload("waypoint", [WAYPOINT], { ...behind(own), hostname: "waypoint.pods" })
  /** Somebody else's waypoint. */
  const other = workload("other-waypoint", ["127.0.0.9"])

  const stories = (of: { readonly service?: Partial<Service>; readonly pod?: Partial<Workload> }) => {
    const shop = service("shop", ["10.10.0.1"], of.service)
    const pod = workload("pod", ["127.0.0.2"], { ...behind(shop), ...of.pod })
    return askOf(meshOf([waypoint, other, pod], [own, shop]), { ...REQUEST, workload: waypoint }, `${WAYPOINT}:15008`)
  }
  const vip = "10.10.0.1:80"
  const podIp = "127.0.0.2:80"
  const name = "shop.shop.svc.cluster.local:80"
  const mismatch = (authority: string) => `400 ip mismatch: ${WAYPOINT} != ${authority.split(":")[0]}`

  it.each<[string, GatewayAddress]>([
    ["the address of its service", byService],
    ["its own address", byWorkload],
    ["the name of its service", named("shop", "waypoint.shop.svc.cluster.local")],
    ["its own name", named("shop", "waypoint.pods")]
  ])("of a service, named by %s, takes the service's VIP and name, and not the pod behind it", (_, reference) => {
    const ask = stories({ service: { waypoint: reference } })
    assert.strictEqual(ask(vip), `${WAYPOINT}:80 -`)
    assert.strictEqual(ask(name), `${WAYPOINT}:8080 shop`)
    assert.strictEqual(ask(podIp), mismatch(podIp))
  })

  it.each<[string, GatewayAddress]>([
    ["the address of its service", byService],
    ["its own address", byWorkload],
    ["the name of its service", named("shop", "waypoint.shop.svc.cluster.local")],
    ["its own name", named("shop", "waypoint.pods")]
  ])("of a workload, named by %s, takes the workload's address, and not the service before it", (_, reference) => {
    const ask = stories({ pod: { waypoint: reference } })
    assert.strictEqual(ask(podIp), `${WAYPOINT}:80 -`)
    assert.strictEqual(ask(vip), mismatch(vip))
    assert.strictEqual(ask(name), "503 no service or workload for hostname: shop.shop.svc.cluster.local")
  })

  it("takes nothing for those whose waypoint is another, or unknown, or of the same name elsewhere", () => {
    for (const reference of [
      gateway("127.0.0.9"),
      gateway("10.10.0.1"),
      named("shop", "shop.shop.svc.cluster.local"),
      gateway("192.0.2.1"),
      named("other", "waypoint.shop.svc.cluster.local"),
      named("other", "waypoint.pods"),
      { ...byWorkload, destination: { _tag: "Address", network: "far", ip: ipUnsafe(WAYPOINT) } } as const
    ]) {
      const ask = stories({ service: { waypoint: reference }, pod: { waypoint: reference } })
      assert.strictEqual(ask(vip), mismatch(vip))
      assert.strictEqual(ask(podIp), mismatch(podIp))
      assert.match(ask(name), /^503 no service/)
    }
  })

  it("counts as one of several weighted ones, unless its weight is 0", () => {
    const weighted = (weight: number, single?: GatewayAddress) =>
      stories({
        service: {
          waypoint: single,
          weightedWaypoints: [
            { destination: gateway("127.0.0.9"), weight: 9 },
            { destination: byService, weight }
          ]
        }
      })
    assert.strictEqual(weighted(1)(vip), `${WAYPOINT}:80 -`)
    assert.strictEqual(weighted(1)(name), `${WAYPOINT}:8080 shop`)
    assert.strictEqual(weighted(0)(vip), mismatch(vip))
    assert.strictEqual(weighted(0, byService)(vip), `${WAYPOINT}:80 -`)
  })

  it("looks on the own network, at services before workloads, at addresses before ranges", () => {
    const far = stories({ service: { waypoint: byService, vips: [{ network: "far", ip: ipUnsafe("10.10.0.1") }] } })
    assert.strictEqual(far(vip), mismatch(vip))
    assert.strictEqual(far(vip, { network: "far" }), `${WAYPOINT}:80 -`)
    // the address is a service's and a pod's: the service's waypoint decides
    const shared = { vips: [{ network: "", ip: ipUnsafe("127.0.0.2") }] }
    assert.strictEqual(stories({ service: { ...shared, waypoint: byService } })(podIp), `${WAYPOINT}:80 -`)
    assert.strictEqual(stories({ service: shared, pod: { waypoint: byService } })(podIp), mismatch(podIp))
    const range = [{ network: "", cidr: parseCidr("10.20.0.0/16")! }]
    const ask = stories({ service: { waypoint: byService, cidrVips: range } })
    assert.strictEqual(ask("10.20.3.4:80"), `${WAYPOINT}:80 -`)
  })

  it("takes services that only their own namespace may see", () => {
    const private_ = { waypoint: byService, visibility: "Namespace", namespace: "other" } as const
    assert.strictEqual(stories({ service: private_ })(vip), `${WAYPOINT}:80 -`)
  })

  it("tells how it decided", () => {
    const shop = service("shop", ["10.10.0.1"], { waypoint: byService })
    const steps: Array<Step> = []
    const authority = Result.getOrThrow(parseAuthority(vip))
    const request = { ...REQUEST, workload: waypoint, connected: socket(`${WAYPOINT}:15008`), authority }
    const found = inboundTarget(meshOf([waypoint], [own, shop]), request, (step) => steps.push(step))
    assert.isTrue(Result.isSuccess(found))
    assert.deepStrictEqual(
      steps.map((step) => [step._tag, "accepted" in step ? step.accepted : "tunnel" in step ? step.tunnel : ""]),
      [
        ["AsWaypoint", true],
        ["Inbound", "None"]
      ]
    )
  })
})

describe("an application tunnel", () => {
  const shop = service("shop", ["10.10.0.1"])
  const pod = workload("pod", ["127.0.0.2"])
  const ask = (protocol: ApplicationTunnel["protocol"], port: number | undefined, authority: string, of = shop) =>
    askOf(meshOf([pod], [of]), { ...REQUEST, workload: tunnelled(pod, protocol, port) }, "127.0.0.2:15008")(authority)

  it("lets everything in, and moves it to its port if it has one", () => {
    assert.strictEqual(ask("NONE", 15088, "127.0.0.2:80"), "127.0.0.2:15088 -")
    assert.strictEqual(ask("NONE", undefined, "127.0.0.2:80"), "127.0.0.2:80 -")
    assert.strictEqual(ask("NONE", 15088, "192.0.2.1:80"), "127.0.0.2:15088 -")
    assert.strictEqual(ask("NONE", undefined, "shop.shop.svc.cluster.local:80"), "127.0.0.2:8080 shop")
  })

  it("with PROXY says what was asked for: the address, or the service's VIP with the service's port", () => {
    assert.strictEqual(ask("PROXY", 15088, "127.0.0.2:80"), "127.0.0.2:15088 - as 127.0.0.2:80")
    assert.strictEqual(ask("PROXY", 15088, "10.10.0.1:80"), "127.0.0.2:15088 - as 10.10.0.1:80")
    assert.strictEqual(ask("PROXY", undefined, "192.0.2.1:81"), "127.0.0.2:81 - as 192.0.2.1:81")
    assert.strictEqual(ask("PROXY", 15088, "shop.shop.svc.cluster.local:80"), "127.0.0.2:15088 shop as 10.10.0.1:80")
  })

  it.each([
    [
      "own network, IPv4 first",
      [
        ["far", "10.1.0.1"],
        ["", "fd00::1"],
        ["", "10.1.0.2"]
      ],
      "10.1.0.2"
    ],
    [
      "own network, although IPv6",
      [
        ["far", "10.1.0.1"],
        ["", "fd00::1"]
      ],
      "[fd00::1]"
    ],
    [
      "else any, IPv4 first",
      [
        ["far", "fd00::1"],
        ["far", "10.1.0.1"]
      ],
      "10.1.0.1"
    ]
  ] as const)("chooses the VIP: %s", (_, vips, shown) => {
    const of = service("shop", [], { vips: vips.map(([network, ip]) => ({ network, ip: ipUnsafe(ip) })) })
    assert.strictEqual(ask("PROXY", 9, "shop.shop.svc.cluster.local:80", of), `127.0.0.2:9 shop as ${shown}:80`)
  })

  it("with PROXY is of no use for a service without addresses; without PROXY it is", () => {
    const bare = service("shop", [], { cidrVips: [{ network: "", cidr: parseCidr("10.20.0.0/16")! }] })
    assert.strictEqual(
      ask("PROXY", 9, "shop.shop.svc.cluster.local:80", bare),
      "503 requested service shop.shop.svc.cluster.local found, but has no IP addresses"
    )
    assert.strictEqual(ask("NONE", 9, "shop.shop.svc.cluster.local:80", bare), "127.0.0.2:9 shop")
  })

  it("with PROXY ends on loopback of the same family, unless that is turned off", () => {
    const to = (target: string, proxied: boolean, localhost: boolean) => {
      const proxy = proxied ? { destination: socket("10.10.0.1:80") } : undefined
      return formatSocketAddress(dialledAddress({ target: socket(target), service: undefined, proxy }, localhost))
    }
    assert.strictEqual(to("10.0.0.1:9", true, true), "127.0.0.1:9")
    assert.strictEqual(to("[fd00::1]:9", true, true), "[::1]:9")
    assert.strictEqual(to("10.0.0.1:9", true, false), "10.0.0.1:9")
    assert.strictEqual(to("10.0.0.1:9", false, true), "10.0.0.1:9")
  })
})

describe("guessService", () => {
  const web = service("web", ["10.96.0.1"])
  const api = service("api", ["10.96.0.2"], {
    ports: new Map([
      [80, 0],
      [443, 8443]
    ])
  })
  const pod = workload("pod", ["10.0.0.1"], {
    services: new Map([...behind(web).services, ...behind(api, [[80, 7070]]).services])
  })
  const mesh = meshOf([pod], [web, api])

  it("takes the one that was named if the workload is behind it, else the first with that target port", () => {
    const guess = (port: number, host?: string) => guessService(mesh, pod, port, host)?.name
    assert.strictEqual(guess(8080, "api.shop.svc.cluster.local"), "api")
    assert.strictEqual(guess(8080, "hidden.shop.svc.cluster.local"), "web")
    assert.strictEqual(guess(8443), "api")
    assert.strictEqual(guess(7070), "api")
    assert.isUndefined(guess(80))
    assert.isUndefined(guessService(mesh, { ...pod, uid: "stranger" }, 8080, undefined))
  })
})

const tunnelled = (of: Workload, protocol: ApplicationTunnel["protocol"], port: number | undefined): Workload => ({
  ...of,
  applicationTunnel: { protocol, port }
})
