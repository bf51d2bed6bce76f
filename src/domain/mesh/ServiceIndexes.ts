/** Services by key, address, range of addresses and hostname (reference state §3.1, §3.5). Sharers do not disturb each other (§10, 8). */
import type { Ip } from "../Address.ts"
import { CidrVips } from "./CidrVips.ts"
import { type Encoded, EncodedTable } from "./EncodedTable.ts"
import { addressKey, hostText } from "./IndexKeys.ts"
import { type Service, serviceKey } from "./Service.ts"
import { type Ranked, scopesOf, scopesSeenBy, serviceOrder } from "./ServiceRank.ts"
import { SortedIndex } from "./SortedIndex.ts"
import type { Committed } from "./Versioned.ts"
import type { ServiceKey } from "./Workload.ts"

export class ServiceIndexes {
  readonly #byVip = new SortedIndex<Ranked>(serviceOrder)
  readonly #byHostname = new SortedIndex<Ranked>(serviceOrder)
  readonly #byCidr = new CidrVips()
  readonly table: EncodedTable<Service, Ranked>
  readonly committed: ReadonlyArray<Committed>

  constructor(decode: (bytes: Uint8Array) => Service) {
    this.table = new EncodedTable(decode)
    this.committed = [this.table, this.#byVip, this.#byHostname, this.#byCidr]
  }

  byVip(network: string, ip: Ip, clientNamespace: string | undefined): Service | undefined {
    const exact = best(this.#byVip, addressKey(network, ip), clientNamespace)
    return this.#read(exact ?? this.#byCidr.find(network, ip, clientNamespace))
  }

  byHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    return this.#read(best(this.#byHostname, hostText(hostname), clientNamespace))
  }

  stage(service: Service, at: Encoded): void {
    const made = rankedOf(service)
    const before = this.table.staged(made.key)
    const same = before !== undefined && sameRank(before.facts, made) && sameNames(before.resource, service)
    if (before !== undefined && !same) this.#forget(before.facts, before.resource)
    if (!same) this.#index(made, service)
    this.table.put(made.key, same ? before.facts : made, at)
  }

  /** False: there is no such service. */
  remove(key: ServiceKey): boolean {
    const before = this.table.staged(key)
    if (before === undefined) return false
    this.#forget(before.facts, before.resource)
    this.table.delete(key)
    return true
  }

  #read(ranked: Ranked | undefined): Service | undefined {
    return ranked === undefined ? undefined : this.table.get(ranked.key)
  }

  #index(ranked: Ranked, { cidrVips, hostname, vips }: Service) {
    for (const scope of scopesOf(ranked)) {
      for (const { ip, network } of vips) this.#byVip.put(scoped(scope, addressKey(network, ip)), ranked)
      this.#byHostname.put(scoped(scope, hostText(hostname)), ranked)
    }
    this.#byCidr.put(ranked, cidrVips)
  }

  #forget(ranked: Ranked, { cidrVips, hostname, vips }: Service) {
    for (const scope of scopesOf(ranked)) {
      for (const { ip, network } of vips) this.#byVip.delete(scoped(scope, addressKey(network, ip)), ranked)
      this.#byHostname.delete(scoped(scope, hostText(hostname)), ranked)
    }
    this.#byCidr.delete(ranked, cidrVips)
  }
}

const best = (index: SortedIndex<Ranked>, key: string, clientNamespace: string | undefined): Ranked | undefined => {
  for (const scope of scopesSeenBy(clientNamespace)) {
    const found = index.first(scoped(scope, key))
    if (found !== undefined) return found
  }
  return undefined
}

const scoped = (scope: string, key: string) => [scope, key].join("")

const rankedOf = (service: Service): Ranked => ({
  key: serviceKey(service),
  namespace: service.namespace,
  canonical: service.canonical,
  visibility: service.visibility
})

const sameRank = (a: Ranked, b: Ranked): boolean => a.canonical === b.canonical && a.visibility === b.visibility

/** Of services of one key, whose hostname is hence the same. */
const sameNames = (a: Service, b: Service): boolean =>
  a.vips.length === b.vips.length &&
  a.vips.every(({ ip, network }, at) => network === b.vips[at]!.network && ip === b.vips[at]!.ip) &&
  a.cidrVips.length === b.cidrVips.length &&
  a.cidrVips.every(
    ({ cidr, network }, at) => network === b.cidrVips[at]!.network && cidr.text === b.cidrVips[at]!.cidr.text
  )
