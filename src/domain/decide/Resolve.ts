/**
 * Where an outbound connection goes: the procedure of reference datapath §2.2, whose rows the comments name.
 *
 * Two deliberate differences from ztunnel. Where an address is both a VIP and a workload's, the service is meant in
 * every row (ztunnel asks twice, with opposite preference, and so goes past the service's waypoint). And what is not
 * built yet ends in `NotSupportedYet`: a connection is never sent past a waypoint or a gateway.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip, isIpv6, type SocketAddress } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import { formatIdentity, parseIdentity, type Spiffe } from "../Identity.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import { type Service, serviceKey } from "../mesh/Service.ts"
import { identityOf, type Workload } from "../mesh/Workload.ts"
import { chooseEndpoint, chooseIp, type Choice } from "./LoadBalance.ts"

export type Upstream = Data.TaggedEnum<{
  /** Not of the mesh: plain TCP to where the application wanted to go. */
  Passthrough: { readonly target: SocketAddress }
  /** A workload without HBONE: plain TCP. */
  Direct: { readonly address: SocketAddress; readonly workload: Workload; readonly service: Service | undefined }
  Hbone: {
    readonly nextHop: SocketAddress
    /** `ip:port` of the application at the far end. */
    readonly authority: string
    readonly workload: Workload
    readonly service: Service | undefined
    /** Any one of them is accepted from the peer. */
    readonly identities: ReadonlyArray<Spiffe>
  }
}>
export const Upstream = Data.taggedEnum<Upstream>()

export interface OutboundRequest {
  /** The workload that connects. */
  readonly source: Workload
  readonly target: SocketAddress
  /** The network of this proxy. */
  readonly network: string
  /** Where other nodes' HBONE listeners are. */
  readonly hbonePort: number
  /** In [0, 1): chooses the endpoint. */
  readonly random: number
}

export const resolve = (mesh: Mesh, request: OutboundRequest): Result.Result<Upstream, ProxyError> => {
  const { network, random, source, target } = request
  // A: the service that is known here; C: the service as the source reaches it. One lookup unless the networks differ
  const known = mesh.serviceByVip(network, target.ip, source.namespace)
  const dialled = network === source.network ? known : mesh.serviceByVip(source.network, target.ip, source.namespace)
  for (const service of [known, dialled]) {
    // B: comes before Passthrough mode
    if (service !== undefined && hasWaypoint(service)) return notYet(`the waypoint of service ${serviceKey(service)}`)
  }

  if (dialled === undefined) {
    const workload = mesh.workloadByAddress(source.network, target.ip)
    if (workload !== undefined) return reach(request, { workload, port: target.port }, known, undefined)
    return known === undefined || isPassthrough(known) ? passthrough(target) : noHealthyUpstream(target)
  }
  if (isPassthrough(dialled)) return passthrough(target)
  const choice = chooseEndpoint(mesh, source, dialled, target.port, random)
  return choice === undefined ? noHealthyUpstream(target) : reach(request, choice, known, dialled)
}

/** Rows F to J: how the chosen workload is reached. */
const reach = (
  { hbonePort, source, target }: OutboundRequest,
  { port, workload }: Choice,
  known: Service | undefined,
  service: Service | undefined
): Result.Result<Upstream, ProxyError> => {
  const { uid } = workload
  if (workload.network !== source.network) {
    if (known === undefined) return fail(Reason.NoService({ address: formatSocketAddress(target) }))
    if (workload.networkGateway === undefined) return fail(Reason.NoValidDestination({ workload: uid }))
    return notYet(`the gateway to network ${JSON.stringify(workload.network)} of workload ${uid}`)
  }
  if (known === undefined && workload.waypoint !== undefined) return notYet(`the waypoint of workload ${uid}`)

  const ip = chooseIp(workload, target.ip, service?.ipFamilies)
  if (ip === undefined) {
    if (workload.hostname === "") return fail(Reason.NoValidDestination({ workload: uid }))
    return notYet(`workload ${uid}, which has no usable address but the hostname ${workload.hostname}`)
  }
  const address = { ip, port }
  if (workload.protocol === "TCP") return Result.succeed(Upstream.Direct({ address, workload, service }))
  return Result.succeed(
    Upstream.Hbone({
      nextHop: { ip, port: hbonePort },
      authority: formatSocketAddress(address),
      workload,
      service,
      identities: acceptedIdentities(workload, service)
    })
  )
}

/**
 * The address that a SOCKS5 client means by a name of the mesh: a service's VIP on the client's network, else an
 * address of a workload of its namespace; of the wanted family if there is one. Undefined: ask the system's resolver.
 */
export const resolveHostname = (
  mesh: Mesh,
  client: Pick<Workload, "namespace" | "network">,
  hostname: string,
  family: "IPv4" | "IPv6"
): Ip | undefined => {
  const service = mesh.serviceByHostname(hostname, client.namespace)
  const vips = service?.vips.filter(({ network }) => network === client.network).map(({ ip }) => ip) ?? []
  const ips = vips.length > 0 ? vips : (mesh.workloadByHostname(client.namespace, hostname)?.ips ?? [])
  return ips.find((ip) => isIpv6(ip) === (family === "IPv6")) ?? ips[0]
}

/** The service's alternative names that are SPIFFE ids (others can match no peer), and the workload's own identity. */
const acceptedIdentities = (workload: Workload, service: Service | undefined): ReadonlyArray<Spiffe> => {
  const names = service?.subjectAltNames ?? []
  if (names.length === 0) return [identityOf(workload)]
  const identities = new Set<Spiffe>()
  for (const name of names) {
    const identity = parseIdentity(name)
    if (Result.isSuccess(identity)) identities.add(formatIdentity(identity.success))
  }
  return [...identities.add(identityOf(workload))]
}

/** Waypoints of weight 0 are never taken. */
const hasWaypoint = ({ waypoint, weightedWaypoints }: Service): boolean =>
  waypoint !== undefined || weightedWaypoints.some(({ weight }) => weight > 0)

const isPassthrough = (service: Service): boolean => service.loadBalancer?.mode === "Passthrough"

const passthrough = (target: SocketAddress) => Result.succeed(Upstream.Passthrough({ target }))

const fail = (reason: Reason) => Result.fail(proxyError(reason))

const noHealthyUpstream = (target: SocketAddress) =>
  fail(Reason.NoHealthyUpstream({ address: formatSocketAddress(target) }))

const notYet = (what: string) => fail(Reason.NotSupportedYet({ what }))
