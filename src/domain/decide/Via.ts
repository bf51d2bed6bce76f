/**
 * What a connection has to go through: waypoints and network gateways, from the reference to the workload (reference
 * datapath §2.4, §2.5; state §4.7, §4.8). A reference that leads nowhere is an error, never a reason to go past it.
 *
 * One deliberate difference from ztunnel: a source that is a waypoint of the service is not sent to a waypoint again,
 * weighted ones included. ztunnel asks this for workloads' waypoints only, and its waypoints that connect to the address
 * of their own service get their own connections back for ever.
 */
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import type { Service } from "../mesh/Service.ts"
import { type GatewayAddress, identityOf, type Workload } from "../mesh/Workload.ts"
import type { Decision } from "./Decision.ts"
import { chooseEndpoint, type Choice } from "./LoadBalance.ts"
import { type Role, Step } from "./Trace.ts"

/** Whom a reference means. */
export interface Via extends Choice {
  /** Through which the workload was found. */
  readonly service: Service | undefined
  /** Its family is the one to dial: the reference's, where that is an address; else the target's. */
  readonly asked: Ip
}

/** `of` is whose waypoint or gateway it is, for the trace. */
export const findVia = (
  decision: Decision,
  role: Role,
  of: string,
  reference: GatewayAddress,
  weighted = false
): Result.Result<Via, ProxyError> => {
  const { trace } = decision
  trace?.(Step.Via({ role, of, reference, weighted }))
  const named = lookup(decision, reference)
  const choice = named && workloadOf(decision, role, named, reference)
  if (named === undefined || choice === undefined) {
    trace?.(Step.ViaNotFound({ role, reference }))
    const what = formatReference(reference)
    return fail(role === "waypoint" ? Reason.UnknownWaypoint({ what }) : Reason.UnknownNetworkGateway({ what }))
  }
  const { destination } = reference
  const asked = destination._tag === "Address" ? destination.ip : decision.request.target.ip
  trace?.(Step.ViaResolved({ role, workload: choice.workload, service: named.service }))
  return Result.succeed({ ...choice, service: named.service, asked })
}

/** The waypoints that a connection to the service may be sent to: those with a weight, else the single one. */
export const waypointsOf = ({ waypoint, weightedWaypoints }: Service): ReadonlyArray<Weighted> => {
  // nearly every service has none
  const usable = weightedWaypoints.length === 0 ? weightedWaypoints : weightedWaypoints.filter(hasWeight)
  return usable.length > 0 || waypoint === undefined ? usable : [{ destination: waypoint, weight: 1 }]
}

/** Undefined: there are none. */
export const chooseWaypoint = (waypoints: ReadonlyArray<Weighted>, draw: () => number): GatewayAddress | undefined => {
  const total = waypoints.reduce((sum, { weight }) => sum + weight, 0)
  let rest = draw() * total
  return waypoints.find(({ weight }) => (rest -= weight) < 0)?.destination
}

/** Whether the source itself is what the reference means: a workload of its identity and address, or one of that service. */
export const isSource = (decision: Decision, reference: GatewayAddress): boolean => {
  const { mesh, request } = decision
  const { source, sourceIp } = request
  const named = lookup({ ...decision, trace: undefined }, reference)
  if (named === undefined) return false
  if (named.service !== undefined) {
    return source.ips.includes(sourceIp) && mesh.endpointPorts(named.service, source) !== undefined
  }
  return identityOf(named.workload) === identityOf(source) && named.workload.ips.includes(sourceIp)
}

type Weighted = Service["weightedWaypoints"][number]

const hasWeight = ({ weight }: Weighted): boolean => weight > 0

type Named =
  | { readonly service: Service; readonly workload?: undefined }
  | { readonly service?: undefined; readonly workload: Workload }

/** A service before a workload; visible or not, as whoever wrote the reference may see it. */
const lookup = (decision: Decision, { destination }: GatewayAddress): Named | undefined =>
  destination._tag === "Address" ? byAddress(decision, destination) : byHostname(decision, destination)

const byAddress = ({ mesh, trace }: Decision, { ip, network }: { network: string; ip: Ip }): Named | undefined => {
  const service = mesh.serviceByVip(network, ip, undefined)
  trace?.(Step.VipLookup({ network, ip, found: service, hidden: undefined }))
  if (service !== undefined) return { service }
  const workload = mesh.workloadByAddress(network, ip)
  trace?.(Step.WorkloadLookup({ network, ip, found: workload }))
  return workload && { workload }
}

const byHostname = (
  { mesh, trace }: Decision,
  { hostname, namespace }: { namespace: string; hostname: string }
): Named | undefined => {
  const best = mesh.serviceByHostname(hostname, namespace)
  // a namespace's own service comes first, so another's means that it has none
  const service = best?.namespace === namespace ? best : undefined
  const workload = service === undefined ? mesh.workloadByHostname(namespace, hostname) : undefined
  trace?.(Step.HostnameLookup({ namespace, hostname, found: service ?? workload }))
  return service ? { service } : workload && { workload }
}

const workloadOf = (
  decision: Decision,
  role: Role,
  { service, workload }: Named,
  { destination, hboneMtlsPort }: GatewayAddress
): Choice | undefined => {
  if (workload !== undefined) return { workload, port: hboneMtlsPort }
  // the mode counts for those who come by address only (reference state §10, 17)
  if (destination._tag === "Address" && service.loadBalancer?.mode === "Passthrough") return undefined
  return chooseEndpoint(decision, service, hboneMtlsPort, role === "waypoint" ? "Waypoint" : "Standard")
}

const formatReference = ({ destination, hboneMtlsPort }: GatewayAddress): string => {
  if (destination._tag === "Hostname") return `${destination.namespace}/${destination.hostname}:${hboneMtlsPort}`
  const address = formatSocketAddress({ ip: destination.ip, port: hboneMtlsPort })
  return destination.network === "" ? address : `${address} on network ${destination.network}`
}

const fail = (reason: Reason) => Result.fail(proxyError(reason))
