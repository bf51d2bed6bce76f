/**
 * The state of a mesh, fed with encoded resources (reference state §3). A batch is staged item by item, published at once
 * by `commit`, and carried into the base by `merge` in slices of the caller's length; lookups see all of a batch or none.
 *
 * It keeps the chunks that bytes come in, and of most resources little else (EncodedTable). Where ztunnel's indexes lose
 * what shares a key or comes in another order (§10, 7 to 12 and 36), this one does not.
 */
import * as Result from "effect/Result"
import type { Ip } from "../Address.ts"
import { Rejected } from "../xds/Rejected.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE, decodeAddress, decodePolicy, type Resource } from "../xds/Resources.ts"
import type { Encoded, EncodedTable } from "./EncodedTable.ts"
import type { Endpoints, Mesh } from "./Mesh.ts"
import type { Policies, Policy, PolicyKey } from "./Policy.ts"
import { PolicyIndexes } from "./PolicyIndexes.ts"
import { type Service, serviceKey } from "./Service.ts"
import { ServiceIndexes } from "./ServiceIndexes.ts"
import type { Committed } from "./Versioned.ts"
import type { PortMap, ServiceKey, Workload, WorkloadInfo } from "./Workload.ts"
import { WorkloadIndexes } from "./WorkloadIndexes.ts"

/** A resource that the state holds, by the key that it has of its own. */
export interface HeldResource extends Encoded {
  readonly typeUrl: string
  readonly name: string
}

export class MeshState implements Mesh {
  readonly #workloads: WorkloadIndexes
  readonly #services = new ServiceIndexes((bytes) => serviceOf(understood(bytes)))
  readonly #policies = new PolicyIndexes()
  readonly #committed: ReadonlyArray<Committed>

  /** `nodeName` restricts local workloads; undefined or empty: every workload is local. */
  constructor({ nodeName }: { readonly nodeName?: string | undefined } = {}) {
    this.#workloads = new WorkloadIndexes((bytes) => workloadOf(understood(bytes)), nodeName)
    this.#committed = [...this.#workloads.committed, ...this.#services.committed, this.#policies]
  }

  /** Of one name the last wins. What is rejected leaves the version before it in place. The chunk must not change. */
  stage(typeUrl: string, name: string, chunk: Uint8Array, start: number, end: number): Rejected | undefined {
    const at = { chunk, start, end }
    switch (typeUrl) {
      case ADDRESS_TYPE:
        return this.#stageAddress(name, at)
      case AUTHORIZATION_TYPE:
        return this.#stagePolicy(name, at)
    }
    return new Rejected({ reason: `unknown type of resource: ${typeUrl}` })
  }

  /** An address is a workload's uid, or else a service's key; a name that nothing has is ignored. */
  remove(typeUrl: string, name: string): void {
    if (typeUrl === AUTHORIZATION_TYPE) this.#policies.remove(name)
    else if (typeUrl === ADDRESS_TYPE && !this.#workloads.remove(name)) this.#services.remove(name)
  }

  /** Publishes what was staged. Immediate, if the batch before has been merged; else that is done first. */
  commit(): void {
    for (const part of this.#committed) part.commit()
  }

  /** Tidies up after a commit for as long as `more` says; no lookup changes. True: nothing is left to do. */
  merge(more: () => boolean): boolean {
    return this.#committed.every((part) => part.merge(more))
  }

  get size(): { readonly workloads: number; readonly services: number; readonly policies: number } {
    return {
      workloads: this.#workloads.table.size,
      services: this.#services.table.size,
      policies: this.#policies.table.size
    }
  }

  /** All that is published; to be walked to its end before anything else is committed or merged. */
  *entries(): IterableIterator<HeldResource> {
    yield* heldIn(ADDRESS_TYPE, this.#workloads.table)
    yield* heldIn(ADDRESS_TYPE, this.#services.table)
    yield* heldIn(AUTHORIZATION_TYPE, this.#policies.table)
  }

  workloadByUid(uid: string): Workload | undefined {
    return this.#workloads.table.get(uid)
  }

  workloadByAddress(network: string, ip: Ip): Workload | undefined {
    return this.#workloads.byAddress(network, ip)
  }

  workloadByHostname(namespace: string, hostname: string): Workload | undefined {
    return this.#workloads.byHostname(namespace, hostname)
  }

  localWorkload(info: WorkloadInfo): Workload | undefined {
    return this.#workloads.local(info)
  }

  localByIdentity(namespace: string, serviceAccount: string): ReadonlyArray<Workload> {
    return this.#workloads.localByIdentity(namespace, serviceAccount)
  }

  serviceByKey(key: ServiceKey): Service | undefined {
    return this.#services.table.get(key)
  }

  serviceByVip(network: string, ip: Ip, clientNamespace: string | undefined): Service | undefined {
    return this.#services.byVip(network, ip, clientNamespace)
  }

  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    return this.#services.byHostname(hostname, clientNamespace)
  }

  endpoints(service: Service): Endpoints {
    return this.#workloads.endpoints.of(serviceKey(service))
  }

  endpointPorts(service: Service, workload: Workload): PortMap | undefined {
    return this.#workloads.endpoints.portsOf(serviceKey(service), workload.uid)
  }

  servicesOf({ uid }: Workload): ReadonlyArray<Service> {
    const keys = this.workloadByUid(uid)?.services.keys() ?? []
    return Array.from(keys).flatMap((key) => this.serviceByKey(key) ?? [])
  }

  policyByKey(key: PolicyKey): Policy | undefined {
    return this.#policies.get(key)
  }

  policiesOf(workload: Workload): Policies {
    return this.#policies.of(workload)
  }

  #stageAddress(name: string, at: Encoded): Rejected | undefined {
    // most of what is sent again is what was there: it need not be decoded
    if (this.#workloads.table.move(name, at) || this.#services.table.move(name, at)) return undefined
    const decoded = decodeAddress(at.chunk.subarray(at.start, at.end))
    if (Result.isFailure(decoded)) return decoded.failure
    if (decoded.success._tag === "Workload") {
      const { workload } = decoded.success
      // a name that is not the resource's own says nothing of what was there
      if (workload.uid === name || !this.#workloads.table.move(workload.uid, at)) this.#workloads.stage(workload, at)
    } else {
      const { service } = decoded.success
      const key = serviceKey(service)
      if (key === name || !this.#services.table.move(key, at)) this.#services.stage(service, at)
    }
    return undefined
  }

  #stagePolicy(key: PolicyKey, at: Encoded): Rejected | undefined {
    if (this.#policies.table.move(key, at)) return undefined
    const decoded = decodePolicy(key, at.chunk.subarray(at.start, at.end))
    if (Result.isFailure(decoded)) return decoded.failure
    this.#policies.stage(decoded.success, at)
    return undefined
  }
}

function* heldIn(typeUrl: string, table: Pick<EncodedTable<object, unknown>, "entries">): Generator<HeldResource> {
  for (const [name, { chunk, end, start }] of table.entries()) yield { typeUrl, name, chunk, start, end }
}

/** Of bytes that were understood when they were staged; a chunk that changes since is a defect. */
const understood = (bytes: Uint8Array): Resource => Result.getOrThrow(decodeAddress(bytes))

const workloadOf = (resource: Resource): Workload => {
  if (resource._tag === "Workload") return resource.workload
  throw new TypeError("a workload has become a service where it is kept")
}

const serviceOf = (resource: Resource): Service => {
  if (resource._tag === "Service") return resource.service
  throw new TypeError("a service has become a workload where it is kept")
}
