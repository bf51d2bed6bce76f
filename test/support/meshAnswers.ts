/** Every answer of a mesh to everything that can be asked of it about the small universe of meshChanges. */
import type { Mesh, WorkloadFacts } from "../../src/domain/mesh/Mesh.ts"
import { ACCOUNTS, HOSTNAMES, IPS, NAMES, NAMESPACES, NETWORKS, POLICIES, SERVICE_KEYS, UIDS } from "./meshChanges.ts"
import { service, workload } from "./meshes.ts"

export const answers = (mesh: Mesh): Readonly<Record<string, unknown>> => {
  const all: Record<string, unknown> = {}
  for (const network of NETWORKS) {
    for (const ip of IPS) {
      all[`workload at ${network}/${ip}`] = mesh.workloadByAddress(network, ip)
      for (const client of CLIENTS) all[`vip ${network}/${ip} for ${client}`] = mesh.serviceByVip(network, ip, client)
    }
  }
  for (const hostname of [...HOSTNAMES, ""]) {
    for (const client of CLIENTS) all[`host ${hostname} for ${client}`] = mesh.serviceByHostname(hostname, client)
    for (const namespace of NAMESPACES) {
      all[`workload host ${namespace}/${hostname}`] = mesh.workloadByHostname(namespace, hostname)
    }
  }
  for (const namespace of NAMESPACES) {
    for (const serviceAccount of ACCOUNTS) {
      all[`local ${namespace}/${serviceAccount}`] = mesh.localByIdentity(namespace, serviceAccount)
      for (const name of NAMES) {
        all[`local ${namespace}/${serviceAccount}/${name}`] = mesh.localWorkload({ namespace, serviceAccount, name })
      }
    }
  }
  for (const key of POLICIES) all[`policy ${key}`] = mesh.policyByKey(key)
  for (const uid of UIDS) {
    const found = mesh.workloadByUid(uid)
    all[`uid ${uid}`] = found
    if (found === undefined) continue
    all[`policies of ${uid}`] = mesh.policiesOf(found)
    all[`services of ${uid}`] = mesh.servicesOf(found)
  }
  all["policies of a stranger"] = mesh.policiesOf(workload("x", [], { authorizationPolicies: ["b/p", "a/q"] }))
  return { ...all, ...ofServices(mesh) }
}

const ofServices = (mesh: Mesh) => {
  const all: Record<string, unknown> = {}
  for (const key of SERVICE_KEYS) {
    all[`service ${key}`] = mesh.serviceByKey(key)
    const slash = key.indexOf("/")
    const asked = service("asked", [], { namespace: key.slice(0, slash), hostname: key.slice(slash + 1) })
    all[`endpoints of ${key}`] = mesh.endpoints(asked).all.map(({ ports, workload }) => ({ ports, ...plain(workload) }))
    for (const uid of UIDS) all[`ports of ${uid} in ${key}`] = mesh.endpointPorts(asked, workload("x", [], { uid }))
  }
  return all
}

/** What the interface has of it, whatever else the state keeps there. */
const plain = ({ capacity, hasAddress, hasGateway, place, status, tunnel, uid }: WorkloadFacts) => ({
  capacity,
  hasAddress,
  hasGateway,
  place: { ...place },
  status,
  tunnel,
  uid
})

const CLIENTS = [undefined, ...NAMESPACES, "elsewhere"]
