/**
 * `istio.workload.Service` → domain (reference state §3.3). A range that there cannot be is rejected, where ztunnel cuts
 * lengths to 8 bits first (§10, 15). An unknown visibility is public, as in ztunnel (§10, 16).
 */
import { cidrFromOctets } from "../Cidr.ts"
import type { LoadBalancer, Service } from "../mesh/Service.ts"
import type * as Wire from "./gen/workload_pb.ts"
import { reject } from "./Rejected.ts"
import { known, toGateway, toIp, toPorts } from "./WorkloadMessage.ts"

/** Throws `Rejected`. */
export const toService = (wire: Wire.Service): Service => ({
  name: wire.name,
  namespace: wire.namespace,
  hostname: wire.hostname,
  ...toVips(wire.addresses),
  ports: toPorts(wire.ports),
  subjectAltNames: wire.subjectAltNames,
  waypoint: wire.waypoint && toGateway(wire.waypoint),
  weightedWaypoints: wire.weightedWaypoints.map(({ destination, weight }) => ({
    destination:
      destination === undefined ? reject("weighted waypoint is missing destination") : toGateway(destination),
    weight
  })),
  loadBalancer: wire.loadBalancing && toLoadBalancer(wire.loadBalancing),
  ipFamilies: toFamilies(wire.ipFamilies),
  canonical: wire.canonical,
  visibility: VISIBILITIES[wire.visibility] ?? "Public"
})

/** An address of full length, or without one, is a single address. */
const toVips = (addresses: ReadonlyArray<Wire.NetworkAddress>): Pick<Service, "vips" | "cidrVips"> => {
  const vips: Array<Service["vips"][number]> = []
  const cidrVips: Array<Service["cidrVips"][number]> = []
  for (const { address, length, network } of addresses) {
    const ip = toIp(address)
    if (length === undefined || length === address.length * 8) {
      vips.push({ network, ip })
    } else {
      const cidr = cidrFromOctets(address, length)
      cidrVips.push({ network, cidr: cidr ?? reject(`invalid cidr: ${ip} has no prefix of ${length} bits`) })
    }
  }
  return { vips, cidrVips }
}

const toFamilies = (wire: Wire.IPFamilies): Service["ipFamilies"] => {
  const families = known(IP_FAMILIES, wire, "ip_families")
  return families === "Any" ? undefined : families
}

const toLoadBalancer = ({ healthPolicy, mode, routingPreference }: Wire.LoadBalancing): LoadBalancer => ({
  routingPreferences: routingPreference.map((scope) => SCOPES[scope] ?? reject("unknown enum: invalid target")),
  mode: known(MODES, mode, "load_balancing.mode"),
  healthPolicy: known(HEALTH_POLICIES, healthPolicy, "load_balancing.health_policy")
})

/** In the order of their numbers, as are all that follow. Null: the number means "not said". */
export const SCOPES = [null, "Region", "Zone", "Subzone", "Node", "Cluster", "Network"] as const
export const MODES = ["Standard", "Strict", "Failover", "Passthrough"] as const
export const HEALTH_POLICIES = ["OnlyHealthy", "AllowAll"] as const
export const IP_FAMILIES = ["Any", "IPv4", "IPv6", "Dual"] as const
export const VISIBILITIES = ["Public", "Namespace"] as const
