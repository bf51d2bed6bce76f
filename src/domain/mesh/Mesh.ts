/**
 * The indexes of a mesh: what routing asks for, in constant time (reference state §3). Made once from the resources and
 * not changed afterwards. Keys are plain strings: `network/ip`, `namespace/hostname`, uid.
 *
 * Unlike ztunnel, the health of an endpoint and the services of a workload do not depend on where they were written
 * (reference state §10, 32), and hostnames are compared without regard to case (39) or a final dot.
 */
import type { Ip } from "../Address.ts"
import type { MeshResources } from "../shard/Message.ts"
import { type CidrVips, makeCidrVips } from "./CidrVips.ts"
import { type Endpoint, type Service, serviceKey } from "./Service.ts"
import { preferred } from "./ServiceRank.ts"
import type { PortMap, ServiceKey, Workload, WorkloadInfo } from "./Workload.ts"

/** An endpoint that may be chosen: its workload is known, and it is healthy or its service takes it anyway. */
export interface Candidate {
  readonly workload: Workload
  readonly ports: PortMap
}

export interface Mesh {
  workloadByUid(uid: string): Workload | undefined
  /** Not host-network workloads: the address is the node's, and shared. */
  workloadByAddress(network: string, ip: Ip): Workload | undefined
  /** First one of that namespace with that hostname. */
  workloadByHostname(namespace: string, hostname: string): Workload | undefined
  /** A workload of this node. */
  localWorkload(info: WorkloadInfo): Workload | undefined
  serviceByKey(key: ServiceKey): Service | undefined
  /** Among those visible to `clientNamespace` (all, when undefined); exact addresses before ranges. */
  serviceByVip(network: string, ip: Ip, clientNamespace: string | undefined): Service | undefined
  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined
  candidates(service: Service): ReadonlyArray<Candidate>
  /** The target ports that this workload has of its own behind the service, healthy or not. */
  endpointPorts(service: Service, workload: Workload): PortMap | undefined
  /** The services of which it is an endpoint, healthy or not. */
  servicesOf(workload: Workload): ReadonlyArray<Service>
}

/** `nodeName` restricts local workloads; undefined or empty: every workload is local. */
export const make = (resources: MeshResources, nodeName?: string): Mesh => {
  const workloads = indexWorkloads(resources.workloads, nodeName)
  const services = indexServices(resources.services)
  const endpoints = indexEndpoints(workloads.byUid, services.byKey)
  return {
    workloadByUid: (uid) => workloads.byUid.get(uid),
    workloadByAddress: (network, ip) => workloads.byAddress.get(addressKey(network, ip)),
    workloadByHostname: (namespace, hostname) => workloads.byHostname.get(hostKey(namespace, hostname)),
    localWorkload: (info) => workloads.local.get(infoKey(info)),
    serviceByKey: (key) => services.byKey.get(key),
    serviceByVip: (network, ip, client) =>
      preferred(services.byVip.get(addressKey(network, ip)) ?? [], client) ??
      services.cidrVips.find(network, ip, client),
    serviceByHostname: (hostname, client) => preferred(services.byHostname.get(hostText(hostname)) ?? [], client),
    candidates: (service) => endpoints.candidates.get(serviceKey(service)) ?? [],
    endpointPorts: (service, { uid }) => endpoints.all.get(serviceKey(service))?.get(uid)?.ports,
    servicesOf: ({ uid }) => endpoints.services.get(uid) ?? []
  }
}

const indexWorkloads = (workloads: ReadonlyArray<Workload>, nodeName: string | undefined) => {
  const byUid = new Map(workloads.map((workload) => [workload.uid, workload]))
  const byAddress = new Map<string, Workload>()
  const byHostname = new Map<string, Workload>()
  const local = new Map<string, Workload>()
  for (const workload of byUid.values()) {
    if (!nodeName || workload.node === nodeName) local.set(infoKey(workload), workload)
    const host = hostKey(workload.namespace, workload.hostname)
    if (workload.hostname !== "" && !byHostname.has(host)) byHostname.set(host, workload)
    if (workload.networkMode === "HostNetwork") continue
    for (const ip of workload.ips) {
      const key = addressKey(workload.network, ip)
      const other = byAddress.get(key)
      if (other === undefined || claim(workload) >= claim(other)) byAddress.set(key, workload)
    }
  }
  return { byUid, byAddress, byHostname, local }
}

/** How good a workload's claim to an address is that several have (reference state §3.4). */
const claim = ({ protocol, uid }: Workload): number => (uid.includes("//Pod/") ? 2 : 0) + (protocol === "HBONE" ? 1 : 0)

const indexServices = (services: ReadonlyArray<Service>) => {
  const byKey = new Map(services.map((service) => [serviceKey(service), service]))
  const byVip = new Map<string, Array<Service>>()
  const byHostname = new Map<string, Array<Service>>()
  const cidrVips: CidrVips = makeCidrVips(byKey.values())
  for (const service of byKey.values()) {
    for (const { ip, network } of service.vips) put(byVip, addressKey(network, ip), service)
    put(byHostname, hostText(service.hostname), service)
  }
  return { byKey, byVip, byHostname, cidrVips }
}

/** One service of each namespace: a later one takes the place of an earlier one. */
const put = (index: Map<string, Array<Service>>, key: string, service: Service) => {
  const services = index.get(key) ?? []
  const slot = services.findIndex(({ namespace }) => namespace === service.namespace)
  services[slot < 0 ? services.length : slot] = service
  index.set(key, services)
}

const indexEndpoints = (workloads: ReadonlyMap<string, Workload>, services: ReadonlyMap<ServiceKey, Service>) => {
  const all = new Map<ServiceKey, Map<string, Endpoint>>()
  for (const [key, { endpoints }] of services) {
    all.set(key, new Map([...endpoints.values()].map((endpoint) => [endpoint.workloadUid, endpoint])))
  }
  // what a workload says of itself wins over what its service lists
  for (const { services: keys, status, uid } of workloads.values()) {
    for (const [key, ports] of keys) all.get(key)?.set(uid, { workloadUid: uid, ports, status })
  }
  const candidates = new Map<ServiceKey, Array<Candidate>>()
  const servicesOf = new Map<string, Array<Service>>()
  for (const [key, service] of services) {
    const chosen: Array<Candidate> = []
    for (const { ports, status, workloadUid } of all.get(key)?.values() ?? []) {
      const workload = workloads.get(workloadUid)
      if (workload === undefined) continue
      const others = servicesOf.get(workloadUid)
      if (others === undefined) servicesOf.set(workloadUid, [service])
      else others.push(service)
      if (status === "Healthy" || service.loadBalancer?.healthPolicy === "AllowAll") chosen.push({ workload, ports })
    }
    candidates.set(key, chosen)
  }
  return { all, candidates, services: servicesOf }
}

const addressKey = (network: string, ip: Ip) => `${network}/${ip}`

const hostKey = (namespace: string, hostname: string) => `${namespace}/${hostText(hostname)}`

const hostText = (hostname: string) => (hostname.endsWith(".") ? hostname.slice(0, -1) : hostname).toLowerCase()

const infoKey = ({ name, namespace, serviceAccount }: WorkloadInfo) => `${namespace}/${name}/${serviceAccount}`
