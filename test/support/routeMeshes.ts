/** Small random meshes in which most references lead somewhere, and a request in each: what routing is tried on. */
import * as Arbitrary from "effect/Arbitrary"
import { formatSocketAddress, ipUnsafe } from "../../src/domain/Address.ts"
import type { OutboundRequest } from "../../src/domain/decide/Upstream.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"
import { integer, oneOf } from "./hostileInput.ts"
import { service, workload } from "./meshes.ts"
import { requestOf, source } from "./routing.ts"
import type { Resources } from "./SimpleMesh.ts"

const POD_IPS = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"]
// one of them is a pod's as well
const VIPS = ["10.96.0.1", "10.96.0.2", "2001:db8:96::1", "10.0.0.1"]
const NETWORKS = ["", "", "far"]
const HOSTNAMES = ["s0.shop.svc.cluster.local", "s1.shop.svc.cluster.local", "db.example"]

/** Somebody of the same mesh, by number, as mostly; or anybody. */
const somebody = Arbitrary.all({
  kind: oneOf(["pod", "service", "hostname", "pod", "service", "any"] as const),
  which: integer(0, 5)
})

const reference = Arbitrary.all({ to: somebody, hboneMtlsPort: oneOf([80, 80, 15008]) })

/** Mostly undefined, so that plain cases are not rare. */
const sometimes = <A>(value: Arbitrary.Arbitrary<A>): Arbitrary.Arbitrary<A | undefined> =>
  Arbitrary.map(Arbitrary.all([integer(0, 3), value]), ([chance, value]) => (chance === 0 ? value : undefined))

const oftenEnough = <A>(value: Arbitrary.Arbitrary<A>): Arbitrary.Arbitrary<A | undefined> =>
  Arbitrary.map(Arbitrary.all([integer(0, 1), value]), ([chance, value]) => (chance === 0 ? value : undefined))

const keys = ["shop/s0.shop.svc.cluster.local", "shop/s1.shop.svc.cluster.local", "other/s0.shop.svc.cluster.local"]

const ownPorts = oneOf<ReadonlyArray<readonly [number, number]>>([[], [], [[80, 9090]], [[80, 0]], [[15008, 15008]]])

const workloads = Arbitrary.array(
  Arbitrary.all({
    ips: oneOf([[0], [1], [2], [3], [0, 3], [1, 3], [], []]),
    network: oneOf(NETWORKS),
    protocol: oneOf(["HBONE", "HBONE", "TCP"] as const),
    networkMode: oneOf(["Standard", "Standard", "Standard", "HostNetwork"] as const),
    status: oneOf(["Healthy", "Healthy", "Healthy", "Unhealthy"] as const),
    serviceAccount: oneOf(["default", "client"]),
    hostname: oneOf(["", "db.example"]),
    node: oneOf(["n1", "n2"]),
    region: oneOf(["", "r"]),
    capacity: oneOf([1, 1, 0, 3]),
    waypoint: sometimes(reference),
    networkGateway: oftenEnough(reference),
    applicationTunnel: sometimes(oneOf([undefined, 15088])),
    services: Arbitrary.array(Arbitrary.all([oneOf(keys), ownPorts]), { minLength: 1, maxLength: 3 })
  }),
  { minLength: 2, maxLength: 5 }
)

const services = Arbitrary.array(
  Arbitrary.all({
    vip: oneOf(VIPS),
    network: oneOf(NETWORKS),
    ports: oneOf<ReadonlyArray<readonly [number, number]>>([
      [[80, 8080]],
      [[80, 8080]],
      [[80, 0]],
      [[15008, 15008]],
      [
        [80, 8080],
        [15008, 15008]
      ]
    ]),
    subjectAltNames: oneOf([[], ["spiffe://td/ns/a/sa/b", "no identity"]]),
    waypoint: sometimes(reference),
    weighted: Arbitrary.array(Arbitrary.all({ destination: reference, weight: integer(0, 2) }), { maxLength: 2 }),
    hasWeighted: oneOf([false, false, true]),
    mode: oneOf(["Standard", "Strict", "Failover", "Passthrough"] as const),
    preferences: oneOf([
      ["Node"],
      ["Region", "Node"],
      ["Network", "Region", "Node"],
      ["Region", "Network"],
      []
    ] as const),
    healthPolicy: oneOf(["OnlyHealthy", "AllowAll"] as const),
    ipFamilies: oneOf([undefined, undefined, "IPv4", "IPv6", "Dual"] as const),
    visibility: oneOf(["Public", "Public", "Namespace"] as const),
    canonical: oneOf([false, true])
  }),
  { minLength: 1, maxLength: 3 }
)

interface Asked {
  readonly given: Resources
  readonly request: OutboundRequest
}

/** Somebody connects to somebody in a small mesh of whatever there may be. */
export const asked: Arbitrary.Arbitrary<Asked> = Arbitrary.map(
  Arbitrary.all({
    workloads,
    services,
    to: somebody,
    port: oneOf([80, 80, 80, 81]),
    network: oneOf(["", "", "", "", "far"]),
    fromNetwork: oneOf(["", "", "", "", "far"]),
    from: integer(-3, 4),
    names: oneOf([undefined, [], ["192.0.2.7", "192.0.2.8", "2001:db8::7"], ["2001:db8::7"]]),
    loaded: oneOf([false, true])
  }),
  (all) => {
    const given = resourcesOf(all.workloads, all.services, all.fromNetwork)
    // the client, or one of the others, who then may be a waypoint
    const from = given.workloads[1 + all.from] ?? given.workloads[0]!
    const { destination } = referenceOf(all.workloads, all.services, { to: all.to, hboneMtlsPort: all.port })
    const ip = destination._tag === "Address" ? destination.ip : given.services[0]!.vips[0]!.ip
    const request = requestOf(formatSocketAddress({ ip, port: all.port }), {
      source: from,
      sourceIp: from.ips[0] ?? source.ips[0]!,
      network: all.network,
      names: () => all.names?.map(ipUnsafe),
      loadOf: all.loaded ? (uid) => uid.length % 3 : undefined
    })
    return { given, request }
  }
)

type Plain<A> = A extends Arbitrary.Arbitrary<infer B> ? B : never

type Pods = Plain<typeof workloads>
type Virtual = Plain<typeof services>

const referenceOf = (pods: Pods, virtual: Virtual, { hboneMtlsPort, to }: Plain<typeof reference>): GatewayAddress => {
  const pod = pods[to.which % pods.length]!
  const service = virtual[to.which % virtual.length]!
  const [ip] = pod.ips
  const address = (network: string, ip: string): GatewayAddress => ({
    destination: { _tag: "Address", network, ip: ipUnsafe(ip) },
    hboneMtlsPort
  })
  if (to.kind === "pod" && ip !== undefined) return address(pod.network, POD_IPS[ip]!)
  if (to.kind === "service") return address(service.network, service.vip)
  if (to.kind === "any") return address("", [...POD_IPS, ...VIPS][to.which]!)
  const hostname = HOSTNAMES[to.which % HOSTNAMES.length]!
  return { destination: { _tag: "Hostname", namespace: "shop", hostname }, hboneMtlsPort }
}

const resourcesOf = (pods: Pods, virtual: Virtual, network: string): Resources => ({
  workloads: [
    { ...source, network },
    ...pods.map(({ applicationTunnel, ips, networkGateway, region, services, waypoint, ...rest }, index): Workload => {
      const own = workload(
        `w${index}`,
        ips.map((ip) => POD_IPS[ip]!)
      )
      return {
        ...own,
        ...rest,
        waypoint: waypoint && referenceOf(pods, virtual, waypoint),
        networkGateway: networkGateway && referenceOf(pods, virtual, networkGateway),
        locality: { region, zone: "", subzone: "" },
        applicationTunnel: applicationTunnel === undefined ? undefined : { protocol: "PROXY", port: applicationTunnel },
        services: new Map(services.map(([key, ports]) => [key, new Map(ports)]))
      }
    })
  ],
  services: virtual.map(
    (
      { hasWeighted, healthPolicy, mode, network, ports, preferences, vip, waypoint, weighted, ...rest },
      index
    ): Service => ({
      ...service(`s${index % 2}`, []),
      namespace: index === 2 ? "other" : "shop",
      ...rest,
      vips: [{ network, ip: ipUnsafe(vip) }],
      ports: new Map(ports),
      waypoint: waypoint && referenceOf(pods, virtual, waypoint),
      weightedWaypoints: hasWeighted
        ? weighted.map(({ destination, weight }) => ({ destination: referenceOf(pods, virtual, destination), weight }))
        : [],
      loadBalancer: mode === "Standard" ? undefined : { mode, routingPreferences: preferences, healthPolicy }
    })
  ),
  policies: []
})
