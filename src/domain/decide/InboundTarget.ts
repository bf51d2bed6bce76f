/**
 * Where the bytes of an HBONE stream go (reference datapath §4.2 checks 4 and 5, §4.3, §4.4, §4.6): always to the address
 * that was connected to, the pod's; the authority only says which port is meant. Also which service a connection that
 * arrived was meant for (§4.9).
 *
 * Deliberate differences from ztunnel: a hostname is held to the rule that an address is held to, so a stream cannot be
 * booked on a service that this workload has nothing to do with; weighted waypoints are waypoints.
 */
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip, ipUnsafe, isIpv6, LOOPBACK_V4, type SocketAddress } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import { type Authority, formatAuthority } from "../wire/Authority.ts"
import { anyAddress, isSelfCall } from "./SelfCall.ts"
import { Step, type Trace } from "./Trace.ts"
import { isWaypointOf, ownerOf } from "./WaypointOwner.ts"

export interface InboundRequest {
  /** The local workload, to which the stream came. */
  readonly workload: Workload
  /** Our end of the HBONE connection. */
  readonly connected: SocketAddress
  readonly authority: Authority
  /** The `host` of the request's `forwarded` header. */
  readonly forwardedHost: string | undefined
  readonly illegalPorts: ReadonlyArray<number>
  /** The network of this proxy. */
  readonly network: string
}

export interface InboundTarget {
  readonly target: SocketAddress
  readonly service: Service | undefined
  /** The application wants a PROXY header first; `destination` is what was asked for. */
  readonly proxy: { readonly destination: SocketAddress } | undefined
}

export const inboundTarget = (
  mesh: Mesh,
  request: InboundRequest,
  trace?: Trace
): Result.Result<InboundTarget, ProxyError> => {
  const { authority } = request
  const asked =
    authority._tag === "Address"
      ? ofAddress(mesh, request, authority.address, trace)
      : ofHostname(mesh, request, authority, trace)
  return Result.flatMap(asked, (asked) => throughTunnel(request, asked, trace))
}

/** Where a target is dialled. `localhost`: applications that want a PROXY header trust it, and so listen on loopback only. */
export const dialledAddress = ({ proxy, target }: InboundTarget, localhost: boolean): SocketAddress =>
  proxy !== undefined && localhost ? { ip: isIpv6(target.ip) ? LOOPBACK_V6 : LOOPBACK_V4, port: target.port } : target

/**
 * The service that the caller probably meant: the one it named, if this workload is part of it; else the first that
 * sends connections to this port.
 */
export const guessService = (
  mesh: Mesh,
  workload: Workload,
  port: number,
  forwardedHost: string | undefined
): Service | undefined => {
  const services = mesh.servicesOf(workload)
  const named = services.find(({ hostname }) => hostname === forwardedHost)
  return (
    named ??
    services.find((service) => {
      const own = mesh.endpointPorts(service, workload)
      return hasTarget(service.ports, port) || (own !== undefined && hasTarget(own, port))
    })
  )
}

/** What the authority means, before the application tunnel. */
interface Asked {
  readonly port: number
  readonly service: Service | undefined
  /** The address that a PROXY header says; undefined: the service has none. */
  readonly destination: SocketAddress | undefined
}

const ofAddress = (
  mesh: Mesh,
  { connected, forwardedHost, network, workload }: InboundRequest,
  { ip, port }: SocketAddress,
  trace: Trace | undefined
): Result.Result<Asked, ProxyError> => {
  if (ip !== connected.ip && workload.applicationTunnel === undefined) {
    const owner = ownerOf(mesh, network, ip)
    const accepted = owner !== undefined && isWaypointOf(mesh, { workload, ip: connected.ip }, owner)
    trace?.(Step.AsWaypoint({ authority: formatSocketAddress({ ip, port }), of: owner, accepted }))
    if (!accepted) return fail(Reason.IpMismatch({ connected: connected.ip, authority: ip }))
  }
  const service = guessService(mesh, workload, port, forwardedHost)
  return Result.succeed({ port, service, destination: { ip, port } })
}

const ofHostname = (
  mesh: Mesh,
  { connected, network, workload }: InboundRequest,
  { host, port }: Extract<Authority, { readonly _tag: "Hostname" }>,
  trace: Trace | undefined
): Result.Result<Asked, ProxyError> => {
  const service = mesh.serviceByHostname(host, workload.namespace)
  trace?.(Step.HostnameLookup({ namespace: workload.namespace, hostname: host, found: service }))
  if (service === undefined) return fail(Reason.UnknownHostname({ hostname: host }))
  const own = mesh.endpointPorts(service, workload)
  if (own === undefined && workload.applicationTunnel === undefined) {
    const accepted = isWaypointOf(mesh, { workload, ip: connected.ip }, service)
    trace?.(Step.AsWaypoint({ authority: `${host}:${port}`, of: service, accepted }))
    if (!accepted) return fail(Reason.UnknownHostname({ hostname: host }))
  }
  // 0 is a named port, of which only the endpoint knows the number
  const target = own?.get(port) || service.ports.get(port)
  if (!target) return fail(Reason.NoPortForService({ service: host, port }))
  const vip = shownVip(service, network)
  return Result.succeed({ port: target, service, destination: vip === undefined ? undefined : { ip: vip, port } })
}

/** Own network before others, IPv4 before IPv6. */
const shownVip = ({ vips }: Service, network: string): Ip | undefined => {
  const own = vips.filter((vip) => vip.network === network)
  const among = own.length > 0 ? own : vips
  return (among.find(({ ip }) => !isIpv6(ip)) ?? among[0])?.ip
}

const throughTunnel = (
  { authority, connected, illegalPorts, workload }: InboundRequest,
  { destination, port, service }: Asked,
  trace: Trace | undefined
): Result.Result<InboundTarget, ProxyError> => {
  const tunnel = workload.applicationTunnel
  const target = { ip: connected.ip, port: tunnel?.port ?? port }
  // what was asked for, as in ztunnel, and what is dialled: a tunnel that leads to a port of ours would go in circles
  for (const each of [port, target.port]) {
    if (isSelfCall({ ip: connected.ip, port: each }, illegalPorts, anyAddress)) return fail(Reason.SelfCall())
  }
  const wantsProxy = tunnel?.protocol === "PROXY"
  if (wantsProxy && destination === undefined) return fail(Reason.NoVip({ service: service?.hostname ?? "" }))
  const proxy = wantsProxy && destination !== undefined ? { destination } : undefined
  trace?.(
    Step.Inbound({
      workload,
      authority: formatAuthority(authority),
      target,
      service,
      tunnel: tunnel === undefined ? "None" : wantsProxy ? "ProxyProtocol" : "Port"
    })
  )
  return Result.succeed({ target, service, proxy })
}

const hasTarget = (ports: ReadonlyMap<number, number>, port: number): boolean =>
  ports.values().some((to) => to === port)

const fail = (reason: Reason) => Result.fail(proxyError(reason))

const LOOPBACK_V6 = ipUnsafe("::1")
