/** Services that own whole ranges of addresses: few, so they are searched one by one (reference state §3.5). */
import * as IpInterface from "effect/net/IpInterface"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type { Ip } from "../Address.ts"
import type { Service } from "./Service.ts"
import { isVisible } from "./ServiceRank.ts"

export interface CidrVips {
  /** Visible ones only; the client's namespace before others, then the narrower range, then the canonical service, then the earlier one. */
  find(network: string, ip: Ip, clientNamespace: string | undefined): Service | undefined
}

interface Entry {
  readonly network: string
  readonly range: IpNetwork.IpNetwork
  readonly service: Service
}

/** A range that is no range is left out: those who make resources refuse it. */
export const makeCidrVips = (services: Iterable<Service>): CidrVips => {
  const entries: Array<Entry> = []
  for (const service of services) {
    for (const { cidr, network } of service.cidrVips) {
      const range = Result.map(IpInterface.fromString(cidr, { prefix: "required" }), IpNetwork.fromInterface)
      if (Result.isSuccess(range)) entries.push({ network, range: range.success, service })
    }
  }
  return {
    find: (network, ip, clientNamespace) => {
      if (entries.length === 0) return undefined
      const address = NetAddress.ipFromStringUnsafe(ip)
      let best: Entry | undefined
      for (const entry of entries) {
        if (entry.network !== network || !isVisible(entry.service, clientNamespace)) continue
        if (!IpNetwork.contains(entry.range, address)) continue
        if (best === undefined || compare(entry, best, clientNamespace) > 0) best = entry
      }
      return best?.service
    }
  }
}

const compare = (a: Entry, b: Entry, clientNamespace: string | undefined): number =>
  Number(a.service.namespace === clientNamespace) - Number(b.service.namespace === clientNamespace) ||
  a.range.prefixLength - b.range.prefixLength ||
  Number(a.service.canonical) - Number(b.service.canonical)
