/**
 * Whom a pooled tunnel leads to, and whether the mesh still says so. A tunnel lives longer than the connection it was made
 * for; meanwhile its workload may go, and its address be given to another.
 */
import type { Ip } from "../Address.ts"
import type { Mesh } from "../mesh/Mesh.ts"

export interface TunnelTarget {
  /** The workload that is the next hop. */
  readonly uid: string
  readonly network: string
  readonly ip: Ip
}

/** Takes no more streams: the workload has gone, has lost that address, or the address means another workload now. */
export const isStale = (mesh: Mesh, { ip, network, uid }: TunnelTarget): boolean => {
  const workload = mesh.workloadByUid(uid)
  if (workload === undefined || workload.network !== network) return true
  // one that is reached by its hostname has whatever addresses the name has
  if (!workload.ips.includes(ip) && (workload.ips.length > 0 || workload.hostname === "")) return true
  const owner = mesh.workloadByAddress(network, ip)
  return owner !== undefined && owner.uid !== uid
}
