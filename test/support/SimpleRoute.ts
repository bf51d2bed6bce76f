/**
 * Every answer that the reference allows to an outbound request (datapath §2.2), as lists: nothing is drawn, kept or looked
 * up in an index. What `resolve` answers has to be one of them.
 */
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip, isIpv6 } from "../../src/domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../../src/domain/connection/ProxyError.ts"
import { NameNeeded, type OutboundRequest, Upstream } from "../../src/domain/decide/Upstream.ts"
import { formatIdentity, parseIdentity, type Spiffe } from "../../src/domain/Identity.ts"
import type { RoutingPreference, Service } from "../../src/domain/mesh/Service.ts"
import { type GatewayAddress, identityOf, type Workload } from "../../src/domain/mesh/Workload.ts"
import { type Resources, simpleMesh } from "./SimpleMesh.ts"

export type Outcome = Result.Result<Upstream, ProxyError | NameNeeded>

/** A workload that may be chosen, the port of it, the service that it is chosen from, and the address that was asked for. */
interface Candidate {
  readonly workload: Workload
  readonly port: number
  readonly service: Service | undefined
  readonly asked: Ip
}

export const possible = (given: Resources, request: OutboundRequest): ReadonlyArray<Outcome> => {
  const { network, source, target } = request
  const mesh = simpleMesh(given)

  const routes = (): ReadonlyArray<Outcome> => {
    const known = mesh.serviceByVip(network, target.ip, source.namespace)
    const dialled = mesh.serviceByVip(source.network, target.ip, source.namespace)
    for (const service of [known, dialled]) {
      if (service === undefined || waypoints(service).length === 0 || waypoints(service).some(isSource)) continue
      return waypoints(service).flatMap((reference) =>
        via("waypoint", reference, (waypoint) =>
          waypoint.workload.network === source.network
            ? toWaypoint(waypoint, service)
            : toGateway(waypoint.workload, service, waypoint.service)
        )
      )
    }
    const noUpstream = [fail(Reason.NoHealthyUpstream({ address: formatSocketAddress(target) }))]
    if (dialled !== undefined && !isPassthrough(dialled)) {
      const all = endpoints(dialled, target.port, false)
      return all.length === 0 ? noUpstream : all.flatMap((one) => reach({ ...one, asked: target.ip }, known))
    }
    if (dialled === undefined) {
      const workload = mesh.workloadByAddress(source.network, target.ip)
      if (workload) return reach({ workload, port: target.port, service: undefined, asked: target.ip }, known)
    }
    if (known !== undefined && !isPassthrough(known)) return noUpstream
    return [Result.succeed(Upstream.Passthrough({ target }))]
  }

  const reach = (to: Candidate, known: Service | undefined): ReadonlyArray<Outcome> => {
    const { port, service, workload } = to
    if (workload.network !== source.network) {
      if (known === undefined) return [fail(Reason.NoService({ address: formatSocketAddress(target) }))]
      return toGateway(workload, known, service)
    }
    if (known === undefined && workload.waypoint !== undefined && !isSource(workload.waypoint)) {
      return via("waypoint", workload.waypoint, (waypoint) => toWaypoint(waypoint, service))
    }
    return addresses(to, (ip) =>
      workload.protocol === "TCP"
        ? Upstream.Direct({ address: { ip, port }, workload, service })
        : Upstream.Hbone({
            nextHop: { ip, port: request.hbonePort },
            authority: formatSocketAddress({ ip, port }),
            workload,
            service,
            identities: identities(service, workload)
          })
    )
  }

  const toWaypoint = (waypoint: Candidate, service: Service | undefined) =>
    addresses(waypoint, (ip) =>
      Upstream.Hbone({
        nextHop: { ip, port: waypoint.port },
        authority: formatSocketAddress(target),
        workload: waypoint.workload,
        service,
        identities: identities(waypoint.service, waypoint.workload)
      })
    )

  const toGateway = (endpoint: Workload, service: Service, through: Service | undefined): ReadonlyArray<Outcome> =>
    endpoint.networkGateway === undefined
      ? [fail(Reason.NoValidDestination({ workload: endpoint.uid }))]
      : via("gateway", endpoint.networkGateway, (gateway) =>
          addresses(gateway, (ip) =>
            Upstream.DoubleHbone({
              nextHop: { ip, port: gateway.port },
              authority: `${service.hostname}:${target.port}`,
              gateway: gateway.workload,
              endpoint,
              gatewayIdentities: identities(gateway.service, gateway.workload),
              service,
              identities: identities(through)
            })
          )
        )

  const via = (
    role: "waypoint" | "gateway",
    reference: GatewayAddress,
    next: (found: Candidate) => ReadonlyArray<Outcome>
  ): ReadonlyArray<Outcome> => {
    const { destination, hboneMtlsPort: port } = reference
    const asked = destination._tag === "Address" ? destination.ip : target.ip
    const { service, workload } = meant(reference)
    const left = service !== undefined && destination._tag === "Address" && isPassthrough(service)
    const found =
      service && !left ? endpoints(service, port, role === "waypoint") : workload ? [{ workload, port }] : []
    if (found.length > 0) return found.flatMap((one) => next({ service: undefined, ...one, asked }))
    const what = name(reference)
    return [fail(role === "waypoint" ? Reason.UnknownWaypoint({ what }) : Reason.UnknownNetworkGateway({ what }))]
  }

  const meant = ({ destination }: GatewayAddress) => {
    if (destination._tag === "Address") {
      const { ip, network } = destination
      const service = mesh.serviceByVip(network, ip, undefined)
      return { service, workload: service ? undefined : mesh.workloadByAddress(network, ip) }
    }
    const { hostname, namespace } = destination
    const service = given.services.find((each) => each.hostname === hostname && each.namespace === namespace)
    return { service, workload: service ? undefined : mesh.workloadByHostname(namespace, hostname) }
  }

  const isSource = (reference: GatewayAddress): boolean => {
    const { service, workload } = meant(reference)
    const is = (one: Workload) => identityOf(one) === identityOf(source) && one.ips.includes(request.sourceIp)
    if (service === undefined) return workload !== undefined && is(workload)
    return given.workloads.some((one) => one.uid === source.uid && one.services.has(keyOf(service)) && is(one))
  }

  const endpoints = (service: Service, port: number, forWaypoint: boolean) => {
    const healthy = given.workloads
      .filter((workload) => workload.services.has(keyOf(service)))
      .filter(({ status }) => status === "Healthy" || service.loadBalancer?.healthPolicy === "AllowAll")
      .flatMap((workload) => {
        const to = portOf(service, workload, port, forWaypoint)
        return to === undefined ? [] : [{ workload, port: to, service }]
      })
      .filter(({ workload: { hostname, ips, network, networkGateway } }) => {
        const named = ips.length > 0 || hostname !== ""
        return named || (networkGateway !== undefined && network !== source.network)
      })
    const mode = service.loadBalancer?.mode ?? "Standard"
    const wanted = service.loadBalancer?.routingPreferences ?? []
    const ranked = healthy.map((each) => ({ ...each, rank: rankOf(source, each.workload, wanted) }))
    const best = Math.max(...ranked.map(({ rank }) => rank))
    const full = rankOf(source, source, wanted)
    return ranked
      .filter(({ rank }) => mode === "Standard" || rank === (mode === "Strict" ? full : best))
      .filter(({ workload }) => workload.capacity > 0)
      .map(({ port: to, workload }) => ({ workload, port: to, service }))
  }

  const addresses = (to: Candidate, use: (ip: Ip) => Upstream): ReadonlyArray<Outcome> => {
    const { hostname, ips, uid } = to.workload
    const families = to.service?.ipFamilies ?? "Dual"
    const same = (ip: Ip) => isIpv6(ip) === isIpv6(to.asked)
    const allowed = ips.filter((ip) => families === "Dual" || families === (isIpv6(ip) ? "IPv6" : "IPv4"))
    const [own] = [...ips.filter((ip) => ip === to.asked), ...allowed.filter(same), ...allowed]
    if (own !== undefined) return [Result.succeed(use(own))]
    if (hostname === "") return [fail(Reason.NoValidDestination({ workload: uid }))]
    const named = request.names(hostname)
    if (named === undefined) return [Result.fail(new NameNeeded({ hostname }))]
    if (named.length === 0) return [fail(Reason.NoResolvedAddresses({ workload: uid }))]
    const alike = named.filter(same)
    return (alike.length > 0 ? alike : named).map((ip) => Result.succeed(use(ip)))
  }

  return routes()
}

/** What an answer says, in one line: equal lines, equal answers. */
export const outcomeText = (outcome: Outcome): string => {
  if (Result.isSuccess(outcome)) return JSON.stringify(outcome.success, brief)
  const { failure } = outcome
  return failure._tag === "NameNeeded" ? `NameNeeded ${failure.hostname}` : JSON.stringify(failure.reason)
}

/** Workloads and services by name; identities in order. */
const brief = (key: string, value: unknown): unknown => {
  // these keys hold what Upstream says they hold
  if (key === "workload" || key === "gateway") return (value as Workload).uid
  if (key === "service" && value !== undefined) return keyOf(value as Service)
  return value
}

const waypoints = ({ waypoint, weightedWaypoints }: Service): ReadonlyArray<GatewayAddress> => {
  const weighted = weightedWaypoints.filter(({ weight }) => weight > 0).map(({ destination }) => destination)
  return weighted.length > 0 ? weighted : waypoint ? [waypoint] : []
}

const portOf = (service: Service, workload: Workload, port: number, forWaypoint: boolean): number | undefined => {
  const own = workload.services.get(keyOf(service))?.get(port)
  const tunnel = workload.applicationTunnel
  if (!service.ports.has(port) && !(forWaypoint && tunnel)) return undefined
  const last = forWaypoint && tunnel?.port !== undefined ? port : undefined
  return [own, service.ports.get(port), last].find((each) => each !== undefined && each > 0)
}

/** The leading preferences that both share; a network that comes first outweighs all others, and may differ. */
const rankOf = (a: Workload, b: Workload, preferences: ReadonlyArray<RoutingPreference>): number => {
  const leading = (list: ReadonlyArray<RoutingPreference>) => {
    const end = list.findIndex((preference) => placeOf(a, preference) !== placeOf(b, preference))
    return end === -1 ? list.length : end
  }
  if (preferences[0] !== "Network") return leading(preferences)
  return (a.network === b.network ? preferences.length : 0) + leading(preferences.slice(1))
}

const placeOf = ({ clusterId, locality, network, node }: Workload, preference: RoutingPreference): string =>
  ({
    Region: locality.region,
    Zone: locality.zone,
    Subzone: locality.subzone,
    Node: node,
    Cluster: clusterId,
    Network: network
  })[preference]

const identities = (service: Service | undefined, workload?: Workload): ReadonlyArray<Spiffe> => {
  const names = (service?.subjectAltNames ?? []).flatMap((text) => {
    const identity = parseIdentity(text)
    return Result.isSuccess(identity) ? [formatIdentity(identity.success)] : []
  })
  return [...new Set([...names, ...(workload ? [identityOf(workload)] : [])])]
}

const name = ({ destination, hboneMtlsPort }: GatewayAddress): string =>
  destination._tag === "Hostname"
    ? `${destination.namespace}/${destination.hostname}:${hboneMtlsPort}`
    : `${formatSocketAddress({ ip: destination.ip, port: hboneMtlsPort })}${destination.network && ` on network ${destination.network}`}`

const isPassthrough = ({ loadBalancer }: Service): boolean => loadBalancer?.mode === "Passthrough"
const keyOf = ({ hostname, namespace }: Service) => `${namespace}/${hostname}`
const fail = (reason: Reason) => Result.fail(proxyError(reason))
