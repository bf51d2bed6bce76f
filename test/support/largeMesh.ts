/**
 * A large mesh, always the same for the same size, as a control plane sends it: ten workloads a service and a node for
 * thirty, spread over namespaces of a hundred services, each namespace with ten policies; and batches of it.
 */
import { ipUnsafe } from "../../src/domain/Address.ts"
import { parseCidr } from "../../src/domain/Cidr.ts"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import { serviceKey } from "../../src/domain/mesh/Service.ts"
import type { Workload } from "../../src/domain/mesh/Workload.ts"
import { encodeDelta } from "../../src/domain/xds/Delta.ts"
import { encodePolicy, encodeService, encodeWorkload } from "../../src/domain/xds/Encode.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../../src/domain/xds/Resources.ts"
import { policy, service, workload } from "./meshes.ts"

/** `ranges`: how many services, from the first one, own a range of addresses as well. */
export interface MeshSize {
  readonly workloads: number
  readonly services: number
  readonly policies: number
  readonly ranges?: number
}

export const sizeOf = (workloads: number): MeshSize => ({
  workloads,
  services: Math.ceil(workloads / 10),
  policies: Math.ceil(workloads / 100)
})

/** All of it in batches of at most `perBatch` resources, in shared memory. */
export function* largeMesh({ policies, ranges = 0, services, workloads }: MeshSize, perBatch = 10_000) {
  for (const [from, to] of parts(policies, perBatch)) {
    yield encodeDelta(
      AUTHORIZATION_TYPE,
      numbered(from, to, policyAt, ({ key }) => key, encodePolicy),
      []
    )
  }
  for (const [from, to] of parts(services, perBatch)) {
    yield encodeDelta(
      ADDRESS_TYPE,
      numbered(from, to, (index) => serviceAt(index, index < ranges), serviceKey, encodeService),
      []
    )
  }
  for (const [from, to] of parts(workloads, perBatch)) {
    const make = (index: number) => workloadAt(index, services)
    yield encodeDelta(
      ADDRESS_TYPE,
      numbered(from, to, make, ({ uid }) => uid, encodeWorkload),
      []
    )
  }
}

/** Also what benchmarks ask for: it is at `10.x.x.x`. */
export const workloadAt = (index: number, services: number): Workload => {
  const of = index % Math.max(services, 1)
  const name = `app-${of}-${((index * 2_654_435_761) >>> 0).toString(36)}-${index.toString(36)}`
  const node = Math.floor(index / 30)
  const namespace = namespaceAt(of)
  return workload(name, [ipAt(10, index)], {
    uid: `Kubernetes//Pod/${namespace}/${name}`,
    namespace,
    serviceAccount: `app-${of}`,
    node: `node-${node}.example.internal`,
    workloadName: `app-${of}`,
    canonicalName: `app-${of}`,
    canonicalRevision: "v1",
    locality: { region: "r1", zone: `r1-${node % 3}`, subzone: "" },
    services: services === 0 ? new Map() : new Map([[serviceKey(serviceAt(of)), new Map([[80, 8080]])]])
  })
}

/** At `172.x.x.x`; its range is a /28 at `20.x.x.x`. */
export const serviceAt = (index: number, range = false): Service => {
  const namespace = namespaceAt(index)
  return service(`app-${index}`, [ipAt(172, index)], {
    namespace,
    hostname: `app-${index}.${namespace}.svc.cluster.local`,
    cidrVips: range ? [{ network: "", cidr: parseCidr(`${ipAt(20, index * 16)}/28`)! }] : []
  })
}

export const ipAt = (first: number, index: number) =>
  ipUnsafe(`${first}.${(index >>> 16) & 255}.${(index >>> 8) & 255}.${index & 255}`)

const policyAt = (index: number): Policy =>
  policy(`policy-${index}`, {
    namespace: `ns-${Math.floor(index / 10)}`,
    rules: [[[{ principals: exactly(`cluster.local/ns/ns-${index}/sa/app-${index}`) }]]]
  })

const exactly = (value: string) => ({ any: [{ _tag: "Exact" as const, value }], none: [], notUnderstood: false })

const namespaceAt = (service: number) => `ns-${Math.floor(service / 100)}`

function* parts(count: number, perPart: number) {
  for (let from = 0; from < count; from += perPart) yield [from, Math.min(count, from + perPart)] as const
}

function* numbered<A>(
  from: number,
  to: number,
  make: (index: number) => A,
  nameOf: (value: A) => string,
  encode: (value: A) => Uint8Array
) {
  for (let index = from; index < to; index += 1) {
    const value = make(index)
    yield { name: nameOf(value), value: encode(value) }
  }
}
