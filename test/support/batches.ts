/** Batches of encoded resources, made and read. */
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import { type Service, serviceKey } from "../../src/domain/mesh/Service.ts"
import type { Workload } from "../../src/domain/mesh/Workload.ts"
import { encodeDelta, readDelta } from "../../src/domain/xds/Delta.ts"
import { encodePolicy, encodeService, encodeWorkload } from "../../src/domain/xds/Encode.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../../src/domain/xds/Resources.ts"

export interface Changes {
  readonly workloads?: ReadonlyArray<Workload>
  readonly services?: ReadonlyArray<Service>
  readonly policies?: ReadonlyArray<Policy>
  /** Names of workloads and services. */
  readonly removed?: ReadonlyArray<string>
  readonly removedPolicies?: ReadonlyArray<string>
}

/** One batch for each type that something is said of. */
export const batchesOf = ({
  policies = [],
  removed = [],
  removedPolicies = [],
  services = [],
  workloads = []
}: Changes): ReadonlyArray<Uint8Array> => {
  const addresses = [
    ...services.map((service) => ({ name: serviceKey(service), value: encodeService(service) })),
    ...workloads.map((workload) => ({ name: workload.uid, value: encodeWorkload(workload) }))
  ]
  const encoded = policies.map((policy) => ({ name: policy.key, value: encodePolicy(policy) }))
  return [
    ...(addresses.length + removed.length > 0 ? [encodeDelta(ADDRESS_TYPE, addresses, removed)] : []),
    ...(encoded.length + removedPolicies.length > 0 ? [encodeDelta(AUTHORIZATION_TYPE, encoded, removedPolicies)] : [])
  ]
}

/** What batches say, item by item: a resource by its name, a removal with a minus before it. */
export const namesIn = (batches: ReadonlyArray<Uint8Array>): ReadonlyArray<string> =>
  batches.flatMap((batch) =>
    Array.from(readDelta(batch)).flatMap((item) => {
      if (item._tag === "TypeUrl") return []
      return item._tag === "Removed" ? [`-${item.name}`] : [item.name]
    })
  )
