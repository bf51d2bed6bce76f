/**
 * Any history of a small mesh: batches of inserts, updates and removals, from so few names, addresses and ranges that they
 * collide all the time. For properties that compare a mesh state with the simple mesh of the same history.
 */
import * as Arbitrary from "effect/Arbitrary"
import { type Ip, ipUnsafe } from "../../src/domain/Address.ts"
import { parseCidr } from "../../src/domain/Cidr.ts"
import type { MeshState } from "../../src/domain/mesh/MeshState.ts"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import { type Service, serviceKey } from "../../src/domain/mesh/Service.ts"
import type { PortMap, Workload } from "../../src/domain/mesh/Workload.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../../src/domain/xds/Resources.ts"
import { oneOf } from "./hostileInput.ts"
import { gateway, policy, service, workload } from "./meshes.ts"
import { encoded, stage } from "./meshOf.ts"
import type { Resources } from "./SimpleMesh.ts"

export type Change =
  | { readonly _tag: "Workload"; readonly workload: Workload }
  | { readonly _tag: "Service"; readonly service: Service }
  | { readonly _tag: "Policy"; readonly policy: Policy }
  | { readonly _tag: "RemoveAddress" | "RemovePolicy"; readonly name: string }

/** Applied at once; then the state merges in `steps` steps before anything else happens. */
export interface Batch {
  readonly changes: ReadonlyArray<Change>
  readonly steps: number
}

export const EMPTY: Resources = { workloads: [], services: [], policies: [] }

export const UIDS = ["Kubernetes//Pod/a/one", "Kubernetes//Pod/b/two", "entry"] as const
export const NAMESPACES = ["a", "b"] as const
export const NETWORKS = ["", "far"] as const
const NODES = ["n1", "n2"] as const
export const NAMES = ["one", "two"] as const
export const ACCOUNTS = ["x", "y"] as const
export const HOSTNAMES = ["web.example", "Web.Example.", "db.example"] as const
export const POLICIES = ["a/p", "a/q", "b/p"] as const
export const IPS: ReadonlyArray<Ip> = ["10.0.0.1", "10.0.0.2", "10.9.0.1", "2001:db8::1"].map(ipUnsafe)
export const SERVICE_KEYS = NAMESPACES.flatMap((namespace) => HOSTNAMES.map((hostname) => `${namespace}/${hostname}`))
const RANGES = ["10.0.0.0/8", "10.0.0.0/30", "10.9.9.9/8", "0.0.0.0/0", "2001:db8::/32", "2001:db8::/127"]

/** No, one or a few of them; each of the few at most once, in any order. */
const someOf = <A>(values: ReadonlyArray<A>): Arbitrary.Arbitrary<ReadonlyArray<A>> =>
  Arbitrary.map(Arbitrary.array(oneOf(values), { maxLength: 3 }), (chosen) => [...new Set(chosen)])

const ports: Arbitrary.Arbitrary<PortMap> = oneOf([new Map(), new Map([[80, 8080]]), new Map([[80, 0]])])

const behind = Arbitrary.map(
  Arbitrary.array(Arbitrary.all([oneOf(SERVICE_KEYS), ports]), { maxLength: 3 }),
  (entries) => new Map(entries)
)

const anyWorkload: Arbitrary.Arbitrary<Workload> = Arbitrary.map(
  Arbitrary.all({
    uid: oneOf(UIDS),
    name: oneOf(NAMES),
    namespace: oneOf(NAMESPACES),
    serviceAccount: oneOf(ACCOUNTS),
    network: oneOf(NETWORKS),
    ips: someOf(IPS),
    hostname: oneOf(["", "web.example", "WEB.example.", "db.example"]),
    protocol: oneOf(["HBONE", "TCP"] as const),
    networkMode: oneOf(["Standard", "Standard", "HostNetwork"] as const),
    status: oneOf(["Healthy", "Unhealthy"] as const),
    node: oneOf(NODES),
    capacity: oneOf([1, 0]),
    networkGateway: oneOf([undefined, gateway("10.0.0.2")]),
    applicationTunnel: oneOf([undefined, { protocol: "PROXY" as const, port: 80 }]),
    authorizationPolicies: Arbitrary.array(oneOf(POLICIES), { maxLength: 3 }),
    services: behind
  }),
  (rest) => workload(rest.name, [], rest)
)

const vips = Arbitrary.array(Arbitrary.all({ network: oneOf(NETWORKS), ip: oneOf(IPS) }), { maxLength: 3 })

const cidrVips = Arbitrary.array(
  Arbitrary.all({ network: oneOf(NETWORKS), cidr: Arbitrary.map(oneOf(RANGES), (text) => parseCidr(text)!) }),
  { maxLength: 3 }
)

const anyService: Arbitrary.Arbitrary<Service> = Arbitrary.map(
  Arbitrary.all({
    name: oneOf(NAMES),
    namespace: oneOf(NAMESPACES),
    hostname: oneOf(HOSTNAMES),
    vips,
    cidrVips,
    canonical: oneOf([false, true]),
    visibility: oneOf(["Public", "Namespace"] as const)
  }),
  (rest) => service(rest.name, [], rest)
)

const anyPolicy: Arbitrary.Arbitrary<Policy> = Arbitrary.map(
  Arbitrary.all({
    key: oneOf(POLICIES),
    // its own namespace need not be the one in its key (reference state §3.1)
    namespace: oneOf(NAMESPACES),
    scope: oneOf(["Namespace", "Global", "WorkloadSelector"] as const),
    action: oneOf(["Allow", "Deny"] as const),
    dryRun: oneOf([false, true]),
    // nobody, everybody, those of one namespace, those from one address
    rules: oneOf<Policy["rules"]>([
      [],
      [[]],
      [[[{ namespaces: { any: [{ _tag: "Exact", value: "a" }], none: [], notUnderstood: false } }]]],
      [[[{ sourceIps: { any: [parseCidr("10.0.0.1/32")!], none: [], notUnderstood: false } }]]]
    ])
  }),
  (rest) => policy("p", { ...rest, name: "p" })
)

const change: Arbitrary.Arbitrary<Change> = Arbitrary.flatMap(
  oneOf(["workload", "workload", "service", "service", "policy", "removal"] as const),
  (kind): Arbitrary.Arbitrary<Change> => {
    if (kind === "workload") return Arbitrary.map(anyWorkload, (workload) => ({ _tag: "Workload", workload }))
    if (kind === "service") return Arbitrary.map(anyService, (service) => ({ _tag: "Service", service }))
    if (kind === "policy") return Arbitrary.map(anyPolicy, (policy) => ({ _tag: "Policy", policy }))
    return oneOf<Change>([
      ...[...UIDS, ...SERVICE_KEYS, "nothing"].map((name) => ({ _tag: "RemoveAddress" as const, name })),
      ...POLICIES.map((name) => ({ _tag: "RemovePolicy" as const, name }))
    ])
  }
)

export const changes: Arbitrary.Arbitrary<ReadonlyArray<Batch>> = Arbitrary.array(
  Arbitrary.all({ changes: Arbitrary.array(change, { maxLength: 6 }), steps: oneOf([0, 1, 2, 1_000]) }),
  { minLength: 1, maxLength: 6 }
)

export const stageBatch = (state: MeshState, { changes }: Batch): void => {
  for (const change of changes) {
    switch (change._tag) {
      case "Workload":
        stage(state, encoded({ workloads: [change.workload] })[0]!)
        break
      case "Service":
        stage(state, encoded({ services: [change.service] })[0]!)
        break
      case "Policy":
        stage(state, encoded({ policies: [change.policy] })[0]!)
        break
      case "RemoveAddress":
        state.remove(ADDRESS_TYPE, change.name)
        break
      case "RemovePolicy":
        state.remove(AUTHORIZATION_TYPE, change.name)
    }
  }
}

/** Commits what is staged, and merges as far as the batch says. */
export const publish = (state: MeshState, { steps }: Batch): void => {
  state.commit()
  let left = steps
  state.merge(() => left-- > 0)
}

export const applyToResources = (resources: Resources, { changes }: Batch): Resources =>
  changes.reduce(applyChange, resources)

const applyChange = ({ policies, services, workloads }: Resources, change: Change): Resources => {
  switch (change._tag) {
    case "Workload":
      return { policies, services, workloads: put(workloads, change.workload, ({ uid }) => uid) }
    case "Service":
      return { policies, services: put(services, change.service, serviceKey), workloads }
    case "Policy":
      return { policies: put(policies, change.policy, ({ key }) => key), services, workloads }
    case "RemovePolicy":
      return { policies: policies.filter(({ key }) => key !== change.name), services, workloads }
    case "RemoveAddress":
      return {
        policies,
        services: services.filter((each) => serviceKey(each) !== change.name),
        workloads: workloads.filter(({ uid }) => uid !== change.name)
      }
  }
}

const put = <A>(all: ReadonlyArray<A>, one: A, keyOf: (each: A) => string): ReadonlyArray<A> => [
  ...all.filter((each) => keyOf(each) !== keyOf(one)),
  one
]
