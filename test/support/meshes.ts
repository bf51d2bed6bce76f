/** Workloads, services and policies for tests: valid ones, of which a test says only what matters to it; and as a mesh file has them. */
import { Scalar, stringify, YAMLSeq } from "yaml"
import { ipUnsafe } from "../../src/domain/Address.ts"
import type { MeshResources } from "../../src/domain/mesh/MeshFile.ts"
import type { Condition, Match, Policy, StringMatcher } from "../../src/domain/mesh/Policy.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"

/** An HBONE pod of namespace `shop`; `name` also makes its uid. */
export const workload = (name: string, ips: ReadonlyArray<string>, rest: Partial<Workload> = {}): Workload => ({
  uid: `Kubernetes//Pod/shop/${name}`,
  name,
  namespace: "shop",
  serviceAccount: "default",
  trustDomain: "cluster.local",
  network: "",
  ips: ips.map(ipUnsafe),
  hostname: "",
  protocol: "HBONE",
  networkMode: "Standard",
  status: "Healthy",
  node: "n1",
  clusterId: "Kubernetes",
  workloadName: "",
  workloadType: "deployment",
  canonicalName: "",
  canonicalRevision: "",
  waypoint: undefined,
  networkGateway: undefined,
  nativeTunnel: false,
  applicationTunnel: undefined,
  locality: { region: "", zone: "", subzone: "" },
  capacity: 1,
  authorizationPolicies: [],
  services: new Map(),
  ...rest
})

/** A service of namespace `shop` with port 80 → 8080; addresses are on the network without a name. */
export const service = (name: string, vips: ReadonlyArray<string>, rest: Partial<Service> = {}): Service => ({
  name,
  namespace: "shop",
  hostname: `${name}.shop.svc.cluster.local`,
  vips: vips.map((ip) => ({ network: "", ip: ipUnsafe(ip) })),
  cidrVips: [],
  ports: new Map([[80, 8080]]),
  subjectAltNames: [],
  waypoint: undefined,
  weightedWaypoints: [],
  loadBalancer: undefined,
  ipFamilies: undefined,
  canonical: false,
  visibility: "Public",
  ...rest
})

/** An ALLOW of namespace `shop`; without rules it allows nothing. */
export const policy = (name: string, rest: Partial<Policy> = {}): Policy => ({
  key: `${rest.namespace ?? "shop"}/${rest.name ?? name}`,
  name,
  namespace: "shop",
  scope: "Namespace",
  action: "Allow",
  dryRun: false,
  rules: [],
  ...rest
})

/** A workload's entry for being behind `service`. */
export const behind = (
  { hostname, namespace }: Service,
  ports: ReadonlyArray<readonly [number, number]> = []
): Pick<Workload, "services"> => ({ services: new Map([[`${namespace}/${hostname}`, new Map(ports)]]) })

export const gateway = (ip: string): GatewayAddress => ({
  destination: { _tag: "Address", network: "", ip: ipUnsafe(ip) },
  hboneMtlsPort: 15008
})

/** The text of a mesh file that holds these resources, with every key written out. */
export const meshFile = ({
  policies = [],
  services,
  workloads
}: Omit<MeshResources, "policies"> & Partial<MeshResources>): string =>
  stringify({
    workloads: workloads.map(({ ips, networkGateway, waypoint, ...rest }) => ({
      ...rest,
      workloadIps: ips,
      waypoint: gatewayEntry(waypoint),
      networkGateway: gatewayEntry(networkGateway)
    })),
    services: services.map(({ cidrVips, vips, waypoint, weightedWaypoints, ...rest }) => ({
      ...rest,
      vips: vips.map(({ ip, network }) => `${network}/${ip}`),
      cidrVips: cidrVips.map(({ cidr, network }) => ({ network, cidr: cidr.text })),
      waypoint: gatewayEntry(waypoint),
      weightedWaypoints: weightedWaypoints.map(({ destination, weight }) => ({
        destination: gatewayEntry(destination),
        weight
      }))
    })),
    policies: policies.map(({ action, dryRun, name, namespace, rules, scope }) => ({
      name,
      namespace,
      scope,
      action,
      dryRun,
      rules: rules.map((rule) => rule.map((clause) => clause.map(matchEntry)))
    }))
  })

const matchEntry = (match: Match) => ({
  ...conditionEntry("namespaces", match.namespaces, matcherNode),
  ...conditionEntry("principals", match.principals, matcherNode),
  ...conditionEntry("serviceAccounts", match.serviceAccounts, (account) => account),
  ...conditionEntry("sourceIps", match.sourceIps, ({ text }) => text),
  ...conditionEntry("destinationIps", match.destinationIps, ({ text }) => text),
  ...conditionEntry("destinationPorts", match.destinationPorts, (port) => port)
})

/** A file cannot say what was not understood. */
const conditionEntry = <M>(key: string, condition: Condition<M> | undefined, entry: (matcher: M) => unknown) => {
  if (condition === undefined) return {}
  const negated = `not${key[0]?.toUpperCase()}${key.slice(1)}`
  return { [key]: condition.any.map(entry), [negated]: condition.none.map(entry) }
}

const matcherNode = (matcher: StringMatcher) => {
  const node = matcher._tag === "Presence" ? new YAMLSeq() : new Scalar(matcher.value)
  node.tag = `!${matcher._tag}`
  return node
}

const gatewayEntry = (gateway: GatewayAddress | undefined) => {
  if (gateway === undefined) return undefined
  const { destination, hboneMtlsPort } = gateway
  return {
    destination:
      destination._tag === "Address"
        ? `${destination.network}/${destination.ip}`
        : `${destination.namespace}/${destination.hostname}`,
    hboneMtlsPort
  }
}
