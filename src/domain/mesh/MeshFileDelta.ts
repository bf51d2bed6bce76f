/**
 * A mesh file as what it changes: batches as a control plane sends them, relative to what the file contributed before.
 * What an edit does not touch is not sent, so nobody decodes or judges anything anew for it.
 */
import { encodeDelta } from "../xds/Delta.ts"
import { encodePolicy, encodeService, encodeWorkload } from "../xds/Encode.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../xds/Resources.ts"
import type { MeshResources } from "./MeshFile.ts"
import { serviceKey } from "./Service.ts"

/** The encoded resources of a file by their names on the wire. */
export interface Contribution {
  readonly addresses: ReadonlyMap<string, Uint8Array>
  readonly policies: ReadonlyMap<string, Uint8Array>
}

export const NO_CONTRIBUTION: Contribution = { addresses: new Map(), policies: new Map() }

interface MeshFileDelta {
  /** To be applied at once. None: nothing has changed. */
  readonly batches: ReadonlyArray<Uint8Array>
  readonly contribution: Contribution
}

export const meshFileDelta = (
  before: Contribution,
  { policies, services, workloads }: MeshResources
): MeshFileDelta => {
  const contribution: Contribution = {
    addresses: new Map([
      ...services.map((service) => [serviceKey(service), encodeService(service)] as const),
      ...workloads.map((workload) => [workload.uid, encodeWorkload(workload)] as const)
    ]),
    policies: new Map(policies.map((policy) => [policy.key, encodePolicy(policy)] as const))
  }
  const batches = [
    // a policy before the workload that names it, for whoever looks at batches one by one
    batchOf(AUTHORIZATION_TYPE, before.policies, contribution.policies),
    batchOf(ADDRESS_TYPE, before.addresses, contribution.addresses)
  ]
  return { batches: batches.filter((batch) => batch !== undefined), contribution }
}

const batchOf = (
  typeUrl: string,
  before: ReadonlyMap<string, Uint8Array>,
  after: ReadonlyMap<string, Uint8Array>
): Uint8Array | undefined => {
  const changed = Array.from(after, ([name, value]) => ({ name, value })).filter(
    ({ name, value }) => !isSame(before.get(name), value)
  )
  const removed = Array.from(before.keys()).filter((name) => !after.has(name))
  return changed.length + removed.length === 0 ? undefined : encodeDelta(typeUrl, changed, removed)
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
  a !== undefined && a.length === b.length && a.every((byte, index) => byte === b[index])
