/**
 * What is kept of every workload, decoded: what balancing asks, and its claim to an address. Equal places and port maps
 * are one object, since a mesh has few of them and very many workloads.
 */
import { Generations } from "./Generations.ts"
import type { Place, WorkloadFacts } from "./Mesh.ts"
import type { PortMap, Workload } from "./Workload.ts"

export interface Facts extends WorkloadFacts {
  /** How good its claim to an address is that several have (reference state §3.4). */
  readonly claim: number
}

/** Makes facts and port maps that share what is equal. */
export class Shared {
  readonly #places = new Generations<string, Place>(PLACES)
  readonly #ports = new Generations<string, PortMap>(PORT_MAPS)

  facts(workload: Workload): Facts {
    const { applicationTunnel, capacity, hostname, ips, networkGateway, protocol, status, uid } = workload
    return {
      uid,
      place: this.#place(workload),
      capacity,
      status,
      hasAddress: ips.length > 0 || hostname !== "",
      hasGateway: networkGateway !== undefined,
      tunnel:
        applicationTunnel === undefined ? "None" : applicationTunnel.port === undefined ? "WithoutPort" : "WithPort",
      claim: (uid.includes("//Pod/") ? 2 : 0) + (protocol === "HBONE" ? 1 : 0)
    }
  }

  ports(ports: PortMap): PortMap {
    const key = Array.from(ports, ([port, target]) => `${port}:${target}`).join()
    const known = this.#ports.get(key)
    if (known !== undefined) return known
    this.#ports.set(key, ports)
    return ports
  }

  #place({ clusterId, locality: { region, subzone, zone }, network, node }: Workload): Place {
    const place = { network, region, zone, subzone, node, clusterId }
    const key = [network, region, zone, subzone, node, clusterId].join("\n")
    const known = this.#places.get(key)
    // nobody forbids line feeds in names
    if (known !== undefined && samePlace(known, place)) return known
    this.#places.set(key, place)
    return place
  }
}

export const sameFacts = (a: Facts, b: Facts): boolean =>
  a.uid === b.uid &&
  samePlace(a.place, b.place) &&
  a.capacity === b.capacity &&
  a.status === b.status &&
  a.hasAddress === b.hasAddress &&
  a.hasGateway === b.hasGateway &&
  a.tunnel === b.tunnel &&
  a.claim === b.claim

export const samePorts = (a: PortMap, b: PortMap): boolean => {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [port, target] of a) if (b.get(port) !== target) return false
  return true
}

const samePlace = (a: Place, b: Place): boolean =>
  a === b ||
  (a.network === b.network &&
    a.region === b.region &&
    a.zone === b.zone &&
    a.subzone === b.subzone &&
    a.node === b.node &&
    a.clusterId === b.clusterId)

/** Nodes are the many among places. At most twice as many of each are kept for those to come. */
const PLACES = 8_192
const PORT_MAPS = 1_024
