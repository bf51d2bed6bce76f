/**
 * What decisions ask of a mesh (reference state §3.5): every lookup in time that does not depend on its size. MeshState
 * answers; this is all that decisions know of it. What is returned is not changed afterwards, only replaced.
 *
 * Ties are broken by key, never by order of arrival (reference state §10, 36), so that every shard decides alike. Hostnames
 * are compared without regard to case (39) or a final dot.
 */
import type { Ip } from "../Address.ts"
import type { Policies, Policy, PolicyKey } from "./Policy.ts"
import type { Service } from "./Service.ts"
import type { Locality, PortMap, ServiceKey, Workload, WorkloadInfo } from "./Workload.ts"

/** Where a workload runs, as routing preferences compare it. One object for all that run in the same place. */
export interface Place extends Locality {
  readonly network: string
  readonly node: string
  readonly clusterId: string
}

/** What balancing asks of a workload, at hand without decoding it. */
export interface WorkloadFacts {
  readonly uid: string
  readonly place: Place
  readonly capacity: number
  readonly status: Workload["status"]
  /** It has an address of its own, or a name to look one up. */
  readonly hasAddress: boolean
  readonly hasGateway: boolean
  readonly tunnel: "None" | "WithoutPort" | "WithPort"
}

/** A workload behind a service, healthy or not. */
export interface Endpoint {
  readonly workload: WorkloadFacts
  /** Its own target ports; may be empty. */
  readonly ports: PortMap
}

/** Those of one service whose workloads are known, in the order of their uids. Replaced as a whole when anything of it changes. */
export interface Endpoints {
  readonly all: ReadonlyArray<Endpoint>
}

export interface Mesh {
  workloadByUid(uid: string): Workload | undefined
  /** Not host-network workloads: the address is the node's, and shared. Of several, the best claim (§3.4), then the lowest uid. */
  workloadByAddress(network: string, ip: Ip): Workload | undefined
  /** Of several, the lowest uid. */
  workloadByHostname(namespace: string, hostname: string): Workload | undefined
  /** A workload of this node. */
  localWorkload(info: WorkloadInfo): Workload | undefined
  /** All of this node with that identity, by uid. */
  localByIdentity(namespace: string, serviceAccount: string): ReadonlyArray<Workload>
  serviceByKey(key: ServiceKey): Service | undefined
  /** Among those visible to `clientNamespace` (all, when undefined); exact addresses before ranges. */
  serviceByVip(network: string, ip: Ip, clientNamespace: string | undefined): Service | undefined
  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined
  endpoints(service: Service): Endpoints
  /** The target ports that this workload has of its own behind the service, healthy or not. Undefined: it is not behind it. */
  endpointPorts(service: Service, workload: Workload): PortMap | undefined
  /** The services of which it is an endpoint, healthy or not, in the order of its own list. */
  servicesOf(workload: Workload): ReadonlyArray<Service>
  policyByKey(key: PolicyKey): Policy | undefined
  /** Those that apply to the workload: its namespace's, the global ones, and those that it names (§5.2). */
  policiesOf(workload: Workload): Policies
}
