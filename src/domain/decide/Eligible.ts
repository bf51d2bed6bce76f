/**
 * Which endpoints of a service can be chosen for a connection at all: those that are healthy, have the port and are somewhere
 * to go to; of these the nearest, as the service prefers; and of these the ones with any capacity (reference state §4.2,
 * §4.3, §4.5).
 *
 * For a waypoint, ztunnel looks for the target port after it has chosen, and fails where the chosen one has none; here such
 * an endpoint is not chosen while another is there.
 */
import type { Endpoint, Endpoints, Place, WorkloadFacts } from "../mesh/Mesh.ts"
import type { RoutingPreference, Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Skipped } from "./Trace.ts"

/** `Waypoint` forgives a port that the service does not have to endpoints with an application tunnel. */
export type ResolutionMode = "Standard" | "Waypoint"

/** All that decides who can be chosen, besides the endpoints. */
export interface View {
  readonly service: Service
  readonly port: number
  readonly mode: ResolutionMode
  /** 0: a named port, of which only the endpoint knows the number. Undefined: the service has no such port. */
  readonly servicePort: number | undefined
  /** What the service prefers to share with the source, most important first. */
  readonly scopes: ReadonlyArray<keyof Place>
  /** Of the source: its network, then what it has for each scope. */
  readonly source: ReadonlyArray<string>
}

export const viewOf = (source: Workload, service: Service, port: number, mode: ResolutionMode): View => {
  const { loadBalancer, ports } = service
  const { clusterId, network, node } = source
  const view = { service, port, mode, servicePort: ports.get(port) }
  // Passthrough comes here by hostname only, and is then Failover
  if (loadBalancer === undefined || loadBalancer.mode === "Standard")
    return { ...view, scopes: NONE, source: [network] }
  const place: Place = { ...source.locality, clusterId, network, node }
  const scopes = loadBalancer.routingPreferences.map((preference) => SCOPE[preference])
  return { ...view, scopes, source: [network, ...scopes.map((scope) => place[scope])] }
}

type Skip = (workload: WorkloadFacts, why: Skipped) => void

/** `skip` is told who is left out, and why. */
export const eligible = ({ all }: Endpoints, view: View, skip?: Skip): ReadonlyArray<Endpoint> => {
  if (view.servicePort === undefined && view.mode === "Standard") return []
  const fit = keep(all, (endpoint) => unfit(view, endpoint), skip)
  const near = nearest(view, fit, skip)
  return keep(near, ({ workload }) => (workload.capacity > 0 ? undefined : "no capacity"), skip)
}

const keep = (
  all: ReadonlyArray<Endpoint>,
  why: (endpoint: Endpoint, index: number) => Skipped | undefined,
  skip?: Skip
): ReadonlyArray<Endpoint> =>
  all.filter((endpoint, index) => {
    const reason = why(endpoint, index)
    if (reason !== undefined) skip?.(endpoint.workload, reason)
    return reason === undefined
  })

const unfit = (view: View, endpoint: Endpoint): Skipped | undefined => {
  const { hasAddress, hasGateway, place, status, tunnel } = endpoint.workload
  if (status === "Unhealthy" && view.service.loadBalancer?.healthPolicy !== "AllowAll") return "unhealthy"
  if (view.servicePort === undefined && tunnel === "None") return "no application tunnel"
  if (targetPort(view, endpoint) === 0) return "no target port"
  return hasAddress || (hasGateway && place.network !== view.source[0]) ? undefined : "no address and no gateway"
}

/** 0: none (reference state §4.5). */
export const targetPort = ({ mode, port, servicePort }: View, { ports, workload }: Endpoint): number =>
  ports.get(port) || servicePort || (mode === "Waypoint" && workload.tunnel === "WithPort" ? port : 0)

/** Those that match every preference in Strict mode; else the best tier there is: everybody, where nothing is preferred. */
const nearest = (view: View, all: ReadonlyArray<Endpoint>, skip?: Skip): ReadonlyArray<Endpoint> => {
  const { length } = view.scopes
  if (length === 0) return all
  const ranks = all.map(({ workload }) => rank(view, workload.place))
  const wanted =
    view.service.loadBalancer?.mode === "Strict"
      ? length + networkBonus(view)
      : ranks.reduce((best, each) => Math.max(best, each), 0)
  return keep(all, (_, index) => (ranks[index] === wanted ? undefined : "not local enough"), skip)
}

/**
 * How many preferences match, counted from the first to the first that does not. When the first is the network, a
 * foreign one does not end the count, but ranks below every endpoint of the own network.
 */
const rank = (view: View, place: Place): number => {
  const { scopes, source } = view
  const bonus = networkBonus(view)
  const foreign = bonus > 0 && place.network !== source[0]
  let matched = foreign ? 1 : 0
  // `source` begins with the network, so that it is one ahead
  while (matched < scopes.length && place[scopes[matched]!] === source[matched + 1]) matched += 1
  return foreign ? matched - 1 : matched + bonus
}

/** What the own network is worth besides itself when it is preferred first: as much as all that follows. */
const networkBonus = ({ scopes }: View): number => (scopes[0] === "network" ? scopes.length - 1 : 0)

const SCOPE: Record<RoutingPreference, keyof Place> = {
  Region: "region",
  Zone: "zone",
  Subzone: "subzone",
  Node: "node",
  Cluster: "clusterId",
  Network: "network"
}

const NONE: ReadonlyArray<keyof Place> = []
