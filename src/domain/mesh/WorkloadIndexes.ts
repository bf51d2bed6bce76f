/** Workloads by uid, address, hostname, and those of this node by name and identity (reference state §3.1, §3.4). */
import type { Ip } from "../Address.ts"
import { type Encoded, EncodedTable } from "./EncodedTable.ts"
import { EndpointIndex } from "./EndpointIndex.ts"
import { type Facts, sameFacts, Shared } from "./Facts.ts"
import { addressKey, hostKey, identityKey, infoKey } from "./IndexKeys.ts"
import { SortedIndex } from "./SortedIndex.ts"
import { textOrder } from "./SortedList.ts"
import type { Committed } from "./Versioned.ts"
import type { Workload, WorkloadInfo } from "./Workload.ts"

export class WorkloadIndexes {
  readonly #nodeName: string | undefined
  readonly #shared = new Shared()
  readonly #byAddress = new SortedIndex<Facts>((a, b) => b.claim - a.claim || byUid(a, b))
  readonly #byHostname = new SortedIndex<Facts>(byUid)
  readonly #byInfo = new SortedIndex<Facts>(byUid)
  readonly #byIdentity = new SortedIndex<Facts>(byUid)
  readonly table: EncodedTable<Workload, Facts>
  readonly endpoints = new EndpointIndex(this.#shared)
  readonly committed: ReadonlyArray<Committed>

  /** `nodeName` restricts local workloads; undefined or empty: every workload is local. */
  constructor(decode: (bytes: Uint8Array) => Workload, nodeName: string | undefined) {
    this.#nodeName = nodeName
    this.table = new EncodedTable(decode)
    this.committed = [this.table, this.#byAddress, this.#byHostname, this.#byInfo, this.#byIdentity, this.endpoints]
  }

  byAddress(network: string, ip: Ip): Workload | undefined {
    return this.#read(this.#byAddress.first(addressKey(network, ip)))
  }

  byHostname(namespace: string, hostname: string): Workload | undefined {
    return this.#read(this.#byHostname.first(hostKey(namespace, hostname)))
  }

  local(info: WorkloadInfo): Workload | undefined {
    return this.#read(this.#byInfo.first(infoKey(info)))
  }

  localByIdentity(namespace: string, serviceAccount: string): ReadonlyArray<Workload> {
    const local = this.#byIdentity.all(identityKey(namespace, serviceAccount))
    return local.flatMap((facts) => this.#read(facts) ?? [])
  }

  /** What does not change is left as it is, so that who compares identities sees no change. */
  stage(workload: Workload, at: Encoded): void {
    const before = this.table.staged(workload.uid)
    const made = this.#shared.facts(workload)
    const facts = before !== undefined && sameFacts(before.facts, made) ? before.facts : made
    const keys = this.#keysOf(workload)
    const keysBefore = before === undefined ? [] : this.#keysOf(before.resource)
    if (facts !== before?.facts || !sameKeys(keys, keysBefore)) {
      if (before !== undefined) for (const [index, key] of keysBefore) index.delete(key, before.facts)
      for (const [index, key] of keys) index.put(key, facts)
    }
    this.endpoints.replace(
      facts,
      workload.services,
      before && { facts: before.facts, services: before.resource.services }
    )
    this.table.put(facts.uid, facts, at)
  }

  /** False: there is no such workload. */
  remove(uid: string): boolean {
    const before = this.table.staged(uid)
    if (before === undefined) return false
    for (const [index, key] of this.#keysOf(before.resource)) index.delete(key, before.facts)
    for (const service of before.resource.services.keys()) this.endpoints.delete(service, before.facts)
    this.table.delete(uid)
    return true
  }

  #read(facts: Facts | undefined): Workload | undefined {
    return facts === undefined ? undefined : this.table.get(facts.uid)
  }

  #keysOf(workload: Workload): ReadonlyArray<IndexKey> {
    const { hostname, ips, namespace, network, networkMode, node, serviceAccount } = workload
    const keys: Array<IndexKey> = []
    // a host-network workload's address is the node's, and shared
    if (networkMode === "Standard") for (const ip of ips) keys.push([this.#byAddress, addressKey(network, ip)])
    if (hostname !== "") keys.push([this.#byHostname, hostKey(namespace, hostname)])
    if (!this.#nodeName || node === this.#nodeName) {
      keys.push([this.#byInfo, infoKey(workload)], [this.#byIdentity, identityKey(namespace, serviceAccount)])
    }
    return keys
  }
}

type IndexKey = readonly [SortedIndex<Facts>, string]

const sameKeys = (a: ReadonlyArray<IndexKey>, b: ReadonlyArray<IndexKey>): boolean =>
  a.length === b.length && a.every(([index, key], at) => index === b[at]![0] && key === b[at]![1])

const byUid = (a: Facts, b: Facts): number => textOrder(a.uid, b.uid)
