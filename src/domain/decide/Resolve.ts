/**
 * Where an outbound connection goes: the procedure of reference datapath §2.2, whose rows the comments name.
 *
 * Three deliberate differences from ztunnel, all to the safe side. Where an address is both a VIP and a workload's, the
 * service is meant in every row (ztunnel asks twice, with opposite preference, and so goes past the service's waypoint).
 * Where the proxy's network is not the source's, a service that is known on either one counts: its waypoint is used, and
 * without endpoints it is an error. And a waypoint is not sent back to itself (Via.ts).
 *
 * As in ztunnel, what is accepted at the far end of a double tunnel are the alternative names of the service alone: if it
 * has none, nobody is, and every such connection fails (reference datapath §12.2, 7).
 */
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip, isIpv6 } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import { formatIdentity, parseIdentity, type Spiffe } from "../Identity.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import { type Service, serviceKey } from "../mesh/Service.ts"
import { isVisible } from "../mesh/ServiceRank.ts"
import { identityOf, type Workload } from "../mesh/Workload.ts"
import type { Decision } from "./Decision.ts"
import { dialAddress } from "./DialAddress.ts"
import { makeDraws } from "./Draws.ts"
import { chooseEndpoint, type Choice } from "./LoadBalance.ts"
import { Step, type Trace } from "./Trace.ts"
import { type NameNeeded, type OutboundRequest, Upstream } from "./Upstream.ts"
import { chooseWaypoint, findVia, isSource, type Via, waypointsOf } from "./Via.ts"

export const resolve = (mesh: Mesh, request: OutboundRequest, trace?: Trace): Outcome => {
  const { network, random, source, target } = request
  const decision: Decision = { mesh, request, draw: makeDraws(random), trace }
  // A: the service that is known here; C: the service as the source reaches it. One lookup unless the networks differ
  const known = serviceAt(decision, network)
  const dialled = network === source.network ? known : serviceAt(decision, source.network)
  // B: comes before Passthrough mode
  const guarded =
    (known && throughWaypoint(decision, known)) ?? (dialled && dialled !== known && throughWaypoint(decision, dialled))
  if (guarded) return guarded

  if (dialled === undefined) {
    const workload = mesh.workloadByAddress(source.network, target.ip)
    trace?.(Step.WorkloadLookup({ network: source.network, ip: target.ip, found: workload }))
    if (workload !== undefined) return reach(decision, { workload, port: target.port }, known, undefined)
  } else if (!isPassthrough(dialled)) {
    const choice = chooseEndpoint(decision, dialled, target.port, "Standard")
    return choice === undefined ? noHealthyUpstream(request) : reach(decision, choice, known, dialled)
  }
  if (known !== undefined && !isPassthrough(known)) return noHealthyUpstream(request) // D
  const service = dialled ?? known
  if (service !== undefined) trace?.(Step.PassthroughMode({ service }))
  return Result.succeed(Upstream.Passthrough({ target })) // E
}

type Outcome = Result.Result<Upstream, ProxyError | NameNeeded>

const serviceAt = ({ mesh, request, trace }: Decision, network: string): Service | undefined => {
  const { source, target } = request
  const { ip } = target
  const found = mesh.serviceByVip(network, ip, source.namespace)
  if (trace !== undefined) {
    const any = mesh.serviceByVip(network, ip, undefined)
    const hidden = any === undefined || isVisible(any, source.namespace) ? undefined : any
    trace(Step.VipLookup({ network, ip, found, hidden }))
  }
  return found
}

/** B. Undefined: the service has no waypoint, or the source is one. */
const throughWaypoint = (decision: Decision, service: Service): Outcome | undefined => {
  const { draw, request, trace } = decision
  const waypoints = waypointsOf(service)
  const reference = waypoints.length === 0 ? undefined : chooseWaypoint(waypoints, draw)
  if (reference === undefined) return undefined
  if (waypoints.some(({ destination }) => isSource(decision, destination))) {
    trace?.(Step.FromWaypoint({ waypoint: request.source }))
    return undefined
  }
  const weighted = reference !== service.waypoint
  return Result.flatMap(findVia(decision, "waypoint", serviceKey(service), reference, weighted), (waypoint) =>
    waypoint.workload.network === request.source.network
      ? toWaypoint(decision, waypoint, service)
      : toOtherNetwork(decision, waypoint.workload, service, waypoint.service)
  )
}

/** F to J: how the chosen workload is reached. `service` is the one that it was chosen from. */
const reach = (
  decision: Decision,
  { port, workload }: Choice,
  known: Service | undefined,
  service: Service | undefined
): Outcome => {
  const { source, target } = decision.request
  if (workload.network !== source.network) {
    if (known === undefined) return fail(Reason.NoService({ address: formatSocketAddress(target) })) // F
    return toOtherNetwork(decision, workload, known, service)
  }
  // H: the waypoint's network is not asked for, as there is no service whose name a gateway could be told
  if (known === undefined && workload.waypoint !== undefined) {
    if (!isSource(decision, workload.waypoint)) {
      return Result.flatMap(findVia(decision, "waypoint", workload.uid, workload.waypoint), (waypoint) =>
        toWaypoint(decision, waypoint, service)
      )
    }
    decision.trace?.(Step.FromWaypoint({ waypoint: source }))
  }
  return Result.map(dialAddress(decision, workload, target.ip, service), (ip) => {
    const address = { ip, port }
    if (workload.protocol === "TCP") return Upstream.Direct({ address, workload, service }) // J
    return Upstream.Hbone({
      nextHop: { ip, port: decision.request.hbonePort },
      authority: formatSocketAddress(address),
      workload,
      service,
      identities: acceptedIdentities(workload, service)
    }) // I
  })
}

/** Asks the waypoint for what was asked for here, untranslated. */
const toWaypoint = (decision: Decision, waypoint: Via, service: Service | undefined): Outcome => {
  const { port, workload } = waypoint
  return Result.map(dialAddress(decision, workload, waypoint.asked, waypoint.service), (ip) =>
    Upstream.Hbone({
      nextHop: { ip, port },
      authority: formatSocketAddress(decision.request.target),
      workload,
      service,
      identities: acceptedIdentities(workload, waypoint.service)
    })
  )
}

/**
 * G: through the gateway of `workload`. `service` is what was asked for; `through` is the service from which the workload
 * was chosen, and whose names the far end has to have.
 */
const toOtherNetwork = (
  decision: Decision,
  workload: Workload,
  service: Service,
  through: Service | undefined
): Outcome => {
  const { networkGateway, uid } = workload
  const { source, target } = decision.request
  decision.trace?.(Step.OtherNetwork({ workload, network: source.network }))
  if (networkGateway === undefined) return fail(Reason.NoValidDestination({ workload: uid }))
  return Result.flatMap(findVia(decision, "network gateway", uid, networkGateway), (gateway) =>
    Result.map(dialAddress(decision, gateway.workload, gateway.asked, gateway.service), (ip) =>
      Upstream.DoubleHbone({
        nextHop: { ip, port: gateway.port },
        // the port of the service: the far end translates it
        authority: `${service.hostname}:${target.port}`,
        gateway: gateway.workload,
        endpoint: workload,
        gatewayIdentities: acceptedIdentities(gateway.workload, gateway.service),
        service,
        identities: through === undefined ? [] : alternativeNames(through)
      })
    )
  )
}

/** The service's alternative names and the workload's own identity. */
const acceptedIdentities = (workload: Workload, service: Service | undefined): ReadonlyArray<Spiffe> => {
  const own = identityOf(workload)
  return service === undefined || service.subjectAltNames.length === 0
    ? [own]
    : [...new Set([...alternativeNames(service), own])]
}

/** Those that are SPIFFE ids: others can match no peer. */
const alternativeNames = ({ subjectAltNames }: Service): ReadonlyArray<Spiffe> => {
  const identities = new Set<Spiffe>()
  for (const name of subjectAltNames) {
    const identity = parseIdentity(name)
    if (Result.isSuccess(identity)) identities.add(formatIdentity(identity.success))
  }
  return [...identities]
}

const isPassthrough = (service: Service): boolean => service.loadBalancer?.mode === "Passthrough"

const fail = (reason: Reason) => Result.fail(proxyError(reason))

const noHealthyUpstream = ({ target }: OutboundRequest) =>
  fail(Reason.NoHealthyUpstream({ address: formatSocketAddress(target) }))

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
