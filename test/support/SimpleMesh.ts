/**
 * The mesh as the reference tells it, and nothing else: lists that every lookup goes through from the start, no index, no
 * cache. What MeshState answers is compared with what this answers.
 */
import type { Ip } from "../../src/domain/Address.ts"
import { contains, ipWords } from "../../src/domain/Cidr.ts"
import type { Endpoint, Mesh, WorkloadFacts } from "../../src/domain/mesh/Mesh.ts"
import type { Policies, Policy } from "../../src/domain/mesh/Policy.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { Workload, WorkloadInfo } from "../../src/domain/mesh/Workload.ts"

export interface Resources {
  readonly workloads: ReadonlyArray<Workload>
  readonly services: ReadonlyArray<Service>
  readonly policies: ReadonlyArray<Policy>
}

export const simpleMesh = ({ policies, services, workloads }: Resources, nodeName?: string): Mesh => ({
  workloadByUid: (uid) => workloads.find((each) => each.uid === uid),
  workloadByAddress: (network, ip) =>
    workloads
      .filter((each) => each.networkMode === "Standard" && each.network === network && each.ips.includes(ip))
      .toSorted((a, b) => claim(b) - claim(a) || order(a.uid, b.uid))[0],
  workloadByHostname: (namespace, hostname) =>
    workloads
      .filter((each) => each.hostname !== "" && each.namespace === namespace && same(each.hostname, hostname))
      .toSorted((a, b) => order(a.uid, b.uid))[0],
  localWorkload: (info) =>
    workloads
      .filter((each) => isLocal(each, nodeName) && isNamed(each, info))
      .toSorted((a, b) => order(a.uid, b.uid))[0],
  localByIdentity: (namespace, serviceAccount) =>
    workloads
      .filter(
        (each) => isLocal(each, nodeName) && each.namespace === namespace && each.serviceAccount === serviceAccount
      )
      .toSorted((a, b) => order(a.uid, b.uid)),
  serviceByKey: (key) => services.find((each) => keyOf(each) === key),
  serviceByVip: (network, ip, client) => byVip(services, network, ip, client) ?? byCidr(services, network, ip, client),
  serviceByHostname: (hostname, client) =>
    best(
      services.filter((each) => same(each.hostname, hostname)),
      client
    ),
  endpoints: (service) => ({ all: endpointsOf(workloads, service) }),
  endpointPorts: (service, workload) =>
    endpointsOf(workloads, service).find((each) => each.workload.uid === workload.uid)?.ports,
  servicesOf: ({ uid }) => {
    const keys = workloads.find((each) => each.uid === uid)?.services.keys() ?? []
    return Array.from(keys).flatMap((key) => services.filter((service) => keyOf(service) === key))
  },
  policyByKey: (key) => policies.find((each) => each.key === key),
  policiesOf: (workload) => policiesOf(policies, workload)
})

const byVip = (services: ReadonlyArray<Service>, network: string, ip: Ip, client: string | undefined) =>
  best(
    services.filter(({ vips }) => vips.some((vip) => vip.network === network && vip.ip === ip)),
    client
  )

const byCidr = (services: ReadonlyArray<Service>, network: string, ip: Ip, client: string | undefined) =>
  services
    .filter((service) => isVisible(service, client))
    .flatMap((service) => service.cidrVips.map((vip) => ({ ...vip, service })))
    .filter((entry) => entry.network === network && contains(entry.cidr, ipWords(ip)))
    .toSorted(
      (a, b) =>
        own(b.service, client) - own(a.service, client) ||
        b.cidr.length - a.cidr.length ||
        Number(b.service.canonical) - Number(a.service.canonical) ||
        order(keyOf(a.service), keyOf(b.service))
    )[0]?.service

const best = (services: ReadonlyArray<Service>, client: string | undefined) =>
  services
    .filter((service) => isVisible(service, client))
    .toSorted(
      (a, b) =>
        own(b, client) - own(a, client) || Number(b.canonical) - Number(a.canonical) || order(keyOf(a), keyOf(b))
    )[0]

const policiesOf = (all: ReadonlyArray<Policy>, workload: Workload): Policies => {
  const applies = all
    .filter(
      ({ key, namespace, scope }) =>
        scope === "Global" ||
        (scope === "Namespace" && namespace === workload.namespace) ||
        workload.authorizationPolicies.includes(key)
    )
    .toSorted((a, b) => order(a.key, b.key))
  const of = (action: Policy["action"], dryRun: boolean) =>
    applies.filter((each) => each.action === action && each.dryRun === dryRun)
  return {
    dryRunDeny: of("Deny", true),
    deny: of("Deny", false),
    dryRunAllow: of("Allow", true),
    allow: of("Allow", false),
    missing: [...new Set(workload.authorizationPolicies)].filter((key) => all.every((each) => each.key !== key))
  }
}

const endpointsOf = (workloads: ReadonlyArray<Workload>, service: Service): ReadonlyArray<Endpoint> =>
  workloads
    .flatMap((workload) => {
      const ports = workload.services.get(keyOf(service))
      return ports === undefined ? [] : [{ workload: factsOf(workload), ports }]
    })
    .toSorted((a, b) => order(a.workload.uid, b.workload.uid))

const factsOf = (workload: Workload): WorkloadFacts => ({
  uid: workload.uid,
  place: {
    region: workload.locality.region,
    zone: workload.locality.zone,
    subzone: workload.locality.subzone,
    network: workload.network,
    node: workload.node,
    clusterId: workload.clusterId
  },
  capacity: workload.capacity,
  status: workload.status,
  hasAddress: workload.ips.length > 0 || workload.hostname !== "",
  hasGateway: workload.networkGateway !== undefined,
  tunnel:
    workload.applicationTunnel === undefined
      ? "None"
      : workload.applicationTunnel.port === undefined
        ? "WithoutPort"
        : "WithPort"
})

const claim = ({ protocol, uid }: Workload) => (uid.includes("//Pod/") ? 2 : 0) + (protocol === "HBONE" ? 1 : 0)
const isLocal = ({ node }: Workload, nodeName: string | undefined) => !nodeName || node === nodeName
const isNamed = (a: Workload, b: WorkloadInfo) =>
  a.name === b.name && a.namespace === b.namespace && a.serviceAccount === b.serviceAccount
const isVisible = ({ namespace, visibility }: Service, client: string | undefined) =>
  visibility === "Public" || client === undefined || client === namespace
const own = ({ namespace }: Service, client: string | undefined) => Number(namespace === client)
const keyOf = ({ hostname, namespace }: Service) => `${namespace}/${hostname}`
const same = (a: string, b: string) => plain(a) === plain(b)
const plain = (hostname: string) => hostname.toLowerCase().replace(/\.$/, "")
const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
