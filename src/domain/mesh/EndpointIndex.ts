/**
 * The endpoints of each service, healthy or not, whether the service is known or not: that keeps them right whatever
 * arrives first, and whoever comes back (reference state §10, 7 and 9 to 12).
 */
import { type Facts, samePorts, type Shared } from "./Facts.ts"
import type { Endpoint, Endpoints } from "./Mesh.ts"
import { SortedList, textOrder } from "./SortedList.ts"
import { type Committed, Versioned } from "./Versioned.ts"
import type { PortMap, ServiceKey, Workload } from "./Workload.ts"

type Behind = Workload["services"]

export class EndpointIndex implements Committed {
  readonly #lists = new Versioned<SortedList<Endpoint>>()
  readonly #shared: Shared

  constructor(shared: Shared) {
    this.#shared = shared
  }

  of(service: ServiceKey): Endpoints {
    return this.#lists.get(service) ?? NONE
  }

  portsOf(service: ServiceKey, uid: string): PortMap | undefined {
    return this.#lists.get(service)?.find(({ workload }) => textOrder(workload.uid, uid))?.ports
  }

  /** What does not differ is not touched: who balances has worked much out of it. */
  replace(
    facts: Facts,
    services: Behind,
    before: { readonly facts: Facts; readonly services: Behind } | undefined
  ): void {
    if (before !== undefined) {
      for (const service of before.services.keys()) if (!services.has(service)) this.delete(service, before.facts)
    }
    for (const [service, ports] of services) {
      const earlier = before?.facts === facts ? before.services.get(service) : undefined
      if (earlier !== undefined && samePorts(earlier, ports)) continue
      this.#own(service).put({ workload: facts, ports: this.#shared.ports(ports) })
    }
  }

  delete(service: ServiceKey, facts: Facts): void {
    const list = this.#own(service)
    list.delete({ workload: facts, ports: NO_PORTS })
    if (list.first === undefined) this.#lists.delete(service)
  }

  commit(): void {
    this.#lists.commit()
  }

  merge(more: () => boolean): boolean {
    return this.#lists.merge(more)
  }

  /** A list of this batch: copied once, however many endpoints come. */
  #own(service: ServiceKey): SortedList<Endpoint> {
    const own = this.#lists.own(service)
    if (own !== undefined) return own
    const list = this.#lists.staged(service)?.copy() ?? new SortedList(byUid)
    this.#lists.set(service, list)
    return list
  }
}

const byUid = (a: Endpoint, b: Endpoint): number => textOrder(a.workload.uid, b.workload.uid)

const NONE: Endpoints = { all: [] }
const NO_PORTS: PortMap = new Map()
