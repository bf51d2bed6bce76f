/**
 * Which endpoint of a service a connection goes to, and on which port (reference state §4.2 to §4.6). One choice for
 * each connection, in proportion to capacity; the random number comes in from outside.
 */
import { type Ip, isIpv6 } from "../Address.ts"
import type { Candidate, Mesh } from "../mesh/Mesh.ts"
import type { RoutingPreference, Service } from "../mesh/Service.ts"
import type { PortMap, Workload } from "../mesh/Workload.ts"

export interface Choice {
  readonly workload: Workload
  readonly port: number
}

/** `random` is in [0, 1). Undefined: the service has no such port, or nobody who could answer on it. */
export const chooseEndpoint = (
  mesh: Mesh,
  source: Workload,
  service: Service,
  port: number,
  random: number
): Choice | undefined => {
  const servicePort = service.ports.get(port)
  if (servicePort === undefined) return undefined
  // 0 is a named port: then only the endpoint knows its number
  const target = (ports: PortMap) => ports.get(port) || servicePort
  const reachable = mesh
    .candidates(service)
    .filter(({ ports, workload }) => target(ports) > 0 && hasDestination(source, workload))
  const chosen = weighted(nearest(source, service, reachable), random)
  return chosen === undefined ? undefined : { workload: chosen.workload, port: target(chosen.ports) }
}

/** The address of the workload that is dialled for `asked`: that one, else one of its family, else any that the service allows. */
export const chooseIp = (workload: Workload, asked: Ip, ipFamilies: Service["ipFamilies"]): Ip | undefined => {
  if (workload.ips.includes(asked)) return asked
  const allowed = workload.ips.filter((ip) => ipFamilies !== (isIpv6(ip) ? "IPv4" : "IPv6"))
  return allowed.find((ip) => isIpv6(ip) === isIpv6(asked)) ?? allowed[0]
}

const hasDestination = (source: Workload, { hostname, ips, network, networkGateway }: Workload): boolean =>
  ips.length > 0 || hostname !== "" || (network !== source.network && networkGateway !== undefined)

/** Those that the service's preference leaves: all of them, those that match it in full, or the best tier there is. */
const nearest = (source: Workload, service: Service, all: ReadonlyArray<Candidate>): ReadonlyArray<Candidate> => {
  const mode = service.loadBalancer?.mode ?? "Standard"
  const preferences = service.loadBalancer?.routingPreferences ?? []
  if (mode === "Standard") return all
  if (mode === "Strict") {
    return all.filter(({ workload }) => rank(source, workload, preferences).matched === preferences.length)
  }
  const ranks = all.map(({ workload }) => rank(source, workload, preferences).score)
  const best = ranks.reduce((a, b) => Math.max(a, b), 0)
  return all.filter((_, index) => ranks[index] === best)
}

/**
 * How many preferences match, counted from the first to the first that does not. When the first is the network, a
 * foreign one does not end the count, but scores below every endpoint of the own network.
 */
const rank = (source: Workload, workload: Workload, preferences: ReadonlyArray<RoutingPreference>) => {
  let matched = 0
  let bonus = 0
  for (const [index, preference] of preferences.entries()) {
    const networkFirst = index === 0 && preference === "Network"
    if (SCOPE[preference](source) === SCOPE[preference](workload)) {
      matched += 1
      if (networkFirst) bonus = preferences.length - 1
    } else if (!networkFirst) break
  }
  return { matched, score: matched + bonus }
}

const SCOPE: Record<RoutingPreference, (workload: Workload) => string> = {
  Region: ({ locality }) => locality.region,
  Zone: ({ locality }) => locality.zone,
  Subzone: ({ locality }) => locality.subzone,
  Node: ({ node }) => node,
  Cluster: ({ clusterId }) => clusterId,
  Network: ({ network }) => network
}

const weighted = (all: ReadonlyArray<Candidate>, random: number): Candidate | undefined => {
  const total = all.reduce((sum, { workload }) => sum + workload.capacity, 0)
  let rest = random * total
  for (const candidate of all) {
    rest -= candidate.workload.capacity
    if (rest < 0) return candidate
  }
  // nobody has any capacity, or rounding went past the last one
  return all.findLast(({ workload }) => workload.capacity > 0)
}
