/**
 * Whether a workload is the waypoint of somebody: the reason why a connection to another's address may arrive at it
 * (reference datapath §4.3). Beyond ztunnel, weighted waypoints count too: outbound proxies do send to them (§12.2, 9).
 */
import type { Ip } from "../Address.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import type { Service } from "../mesh/Service.ts"
import type { GatewayAddress, Workload } from "../mesh/Workload.ts"

/** A workload, at the address of its own that was connected to. */
export interface Arrival {
  readonly workload: Workload
  readonly ip: Ip
}

/** Whose an address is. The service is meant where it is a workload's too, as outbound; whoever may see it. */
export const ownerOf = (mesh: Mesh, network: string, ip: Ip): Service | Workload | undefined =>
  mesh.serviceByVip(network, ip, undefined) ?? mesh.workloadByAddress(network, ip)

/** One of the waypoints of `of` is the one where the connection arrived. */
export const isWaypointOf = (mesh: Mesh, arrival: Arrival, of: Service | Workload): boolean =>
  references(of).some((reference) => refersTo(mesh, reference, arrival))

/** The single one, too, where there are weighted ones: a proxy may not have heard of those yet. */
const references = (of: Service | Workload): ReadonlyArray<GatewayAddress> => {
  const single = of.waypoint === undefined ? [] : [of.waypoint]
  if (!("weightedWaypoints" in of)) return single
  return [...single, ...of.weightedWaypoints.filter(({ weight }) => weight > 0).map(({ destination }) => destination)]
}

/** A waypoint service has the workload behind it; a waypoint workload has the address. */
const refersTo = (mesh: Mesh, { destination }: GatewayAddress, { ip, workload }: Arrival): boolean => {
  const named =
    destination._tag === "Address" ? ownerOf(mesh, destination.network, destination.ip) : byName(mesh, destination)
  if (named === undefined) return false
  return "uid" in named ? named.ips.includes(ip) : mesh.endpointPorts(named, workload) !== undefined
}

/** A service of that namespace before a workload of it. */
const byName = (
  mesh: Mesh,
  { hostname, namespace }: { readonly namespace: string; readonly hostname: string }
): Service | Workload | undefined => {
  const service = mesh.serviceByHostname(hostname, namespace)
  return service?.namespace === namespace ? service : mesh.workloadByHostname(namespace, hostname)
}
