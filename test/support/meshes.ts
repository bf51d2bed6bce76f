/** Workloads and services for tests: valid ones, of which a test says only what matters to it; and as a mesh file has them. */
import { stringify } from "yaml"
import { ipUnsafe } from "../../src/domain/Address.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"
import type { MeshResources } from "../../src/domain/shard/Message.ts"

/** An HBONE pod of namespace `shop`; `name` also makes its uid. */
export const workload = (name: string, ips: ReadonlyArray<string>, rest: Partial<Workload> = {}): Workload => ({
  uid: `Kubernetes//Pod/shop/${name}`,
  name,
  namespace: "shop",
  serviceAccount: "default",
  trustDomain: "cluster.local",
  network: "",
  ips: ips.map(ipUnsafe),
  hostname: "",
  protocol: "HBONE",
  networkMode: "Standard",
  status: "Healthy",
  node: "n1",
  clusterId: "Kubernetes",
  workloadName: "",
  workloadType: "",
  canonicalName: "",
  canonicalRevision: "",
  waypoint: undefined,
  networkGateway: undefined,
  nativeTunnel: false,
  applicationTunnel: undefined,
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: new Map(),
  ...rest
})

/** A service of namespace `shop` with port 80 → 8080; addresses are on the network without a name. */
export const service = (name: string, vips: ReadonlyArray<string>, rest: Partial<Service> = {}): Service => ({
  name,
  namespace: "shop",
  hostname: `${name}.shop.svc.cluster.local`,
  vips: vips.map((ip) => ({ network: "", ip: ipUnsafe(ip) })),
  cidrVips: [],
  ports: new Map([[80, 8080]]),
  endpoints: new Map(),
  subjectAltNames: [],
  waypoint: undefined,
  weightedWaypoints: [],
  loadBalancer: undefined,
  ipFamilies: undefined,
  canonical: false,
  visibility: "Public",
  ...rest
})

/** A workload's entry for being behind `service`. */
export const behind = (
  { hostname, namespace }: Service,
  ports: ReadonlyArray<readonly [number, number]> = []
): Pick<Workload, "services"> => ({ services: new Map([[`${namespace}/${hostname}`, new Map(ports)]]) })

export const gateway = (ip: string): GatewayAddress => ({
  destination: { _tag: "Address", network: "", ip: ipUnsafe(ip) },
  hboneMtlsPort: 15008
})

/** The text of a mesh file that holds these resources, with every key written out. */
export const meshFile = ({ services, workloads }: MeshResources): string =>
  stringify({
    workloads: workloads.map(({ ips, networkGateway, waypoint, ...rest }) => ({
      ...rest,
      workloadIps: ips,
      waypoint: gatewayEntry(waypoint),
      networkGateway: gatewayEntry(networkGateway)
    })),
    services: services.map(({ endpoints, vips, waypoint, weightedWaypoints, ...rest }) => ({
      ...rest,
      vips: vips.map(({ ip, network }) => `${network}/${ip}`),
      waypoint: gatewayEntry(waypoint),
      weightedWaypoints: weightedWaypoints.map(({ destination, weight }) => ({
        destination: gatewayEntry(destination),
        weight
      })),
      endpoints: new Map([...endpoints].map(([key, { ports, ...rest }]) => [key, { ...rest, port: ports }]))
    }))
  })

const gatewayEntry = (gateway: GatewayAddress | undefined) => {
  if (gateway === undefined) return undefined
  const { destination, hboneMtlsPort } = gateway
  return {
    destination:
      destination._tag === "Address"
        ? `${destination.network}/${destination.ip}`
        : `${destination.namespace}/${destination.hostname}`,
    hboneMtlsPort
  }
}
