/**
 * Where the bytes of an HBONE stream go (reference datapath §4.2 checks 4 and 5, §4.3, §4.4): always to the address
 * that was connected to, the pod's; the authority only says which port is meant. Also which service a connection that
 * arrived was meant for (§4.9).
 *
 * Not built yet: being a waypoint, so an authority with another address is refused whoever's it is, and application
 * tunnels.
 */
import * as Result from "effect/Result"
import type { SocketAddress } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Authority } from "../wire/Authority.ts"
import { anyAddress, isSelfCall } from "./SelfCall.ts"

export interface InboundRequest {
  /** The local workload, to which the stream came. */
  readonly workload: Workload
  /** Our end of the HBONE connection. */
  readonly connected: SocketAddress
  readonly authority: Authority
  /** The `host` of the request's `forwarded` header. */
  readonly forwardedHost: string | undefined
  readonly illegalPorts: ReadonlyArray<number>
}

export interface InboundTarget {
  readonly target: SocketAddress
  readonly service: Service | undefined
}

export const inboundTarget = (mesh: Mesh, request: InboundRequest): Result.Result<InboundTarget, ProxyError> => {
  const { authority, connected, illegalPorts, workload } = request
  if (workload.applicationTunnel !== undefined) {
    return fail(Reason.NotSupportedYet({ what: `the application tunnel of workload ${workload.uid}` }))
  }
  if (authority._tag === "Address" && authority.address.ip !== connected.ip) {
    return fail(Reason.IpMismatch({ connected: connected.ip, authority: authority.address.ip }))
  }
  return Result.flatMap(portAndService(mesh, request), ({ port, service }) => {
    const target = { ip: connected.ip, port }
    if (isSelfCall(target, illegalPorts, anyAddress)) return fail(Reason.SelfCall())
    return Result.succeed({ target, service })
  })
}

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

const portAndService = (mesh: Mesh, { authority, forwardedHost, workload }: InboundRequest) => {
  if (authority._tag === "Address") {
    const { port } = authority.address
    return Result.succeed({ port, service: guessService(mesh, workload, port, forwardedHost) })
  }
  const { host, port } = authority
  const service = mesh.serviceByHostname(host, workload.namespace)
  if (service === undefined) return fail(Reason.UnknownHostname({ hostname: host }))
  // 0 is a named port, of which only the endpoint knows the number
  const target = mesh.endpointPorts(service, workload)?.get(port) || service.ports.get(port)
  if (!target) return fail(Reason.NoPortForService({ service: host, port }))
  return Result.succeed({ port: target, service })
}

const hasTarget = (ports: ReadonlyMap<number, number>, port: number): boolean =>
  ports.values().some((to) => to === port)

const fail = (reason: Reason) => Result.fail(proxyError(reason))
