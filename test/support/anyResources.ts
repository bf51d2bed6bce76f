/** Any workload, service and policy that a mesh can hold and both its forms, file and wire, can say. For properties. */
import * as Arbitrary from "effect/Arbitrary"
import { type Cidr, cidrFromOctets } from "../../src/domain/Cidr.ts"
import type { Condition, Match, Policy, ServiceAccountMatcher, StringMatcher } from "../../src/domain/mesh/Policy.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"
import { bytes, hostname, integer, ip, oneOf } from "./hostileInput.ts"
import { policy, service, workload } from "./meshes.ts"

/** Texts that YAML would take for something else if they were not quoted, among them. */
const word = oneOf([
  "x",
  "null",
  "~",
  "true",
  "12",
  "1e3",
  "- a",
  "a: b",
  "!Exact",
  "*a",
  "&a",
  "#",
  " ",
  "ü\n",
  "0x1f"
])

const words = (count: number) => Arbitrary.array(word, { minLength: count, maxLength: count })

const flag = oneOf([true, false])

const port = integer(0, 65535)

const ports = Arbitrary.map(Arbitrary.array(Arbitrary.all([port, port]), { maxLength: 3 }), (ports) => new Map(ports))

const gateway: Arbitrary.Arbitrary<GatewayAddress> = Arbitrary.map(
  Arbitrary.all([flag, ip, hostname, word, port]),
  ([isAddress, ip, hostname, word, hboneMtlsPort]) => ({
    destination: isAddress ? { _tag: "Address", network: word, ip } : { _tag: "Hostname", namespace: word, hostname },
    hboneMtlsPort
  })
)

const maybe = <A>(value: Arbitrary.Arbitrary<A>): Arbitrary.Arbitrary<A | undefined> =>
  Arbitrary.map(Arbitrary.all([flag, value]), ([isThere, value]) => (isThere ? value : undefined))

/** Of less than full length: a full one is an address. */
const range: Arbitrary.Arbitrary<Cidr> = Arbitrary.map(
  Arbitrary.all([flag, bytes({ minLength: 16, maxLength: 16 }), integer(0, 127)]),
  ([isV4, octets, length]) => {
    // not the prefix under which IPv4 addresses are IPv6 ones
    const address = isV4 ? octets.subarray(12) : octets.with(0, 0x20)
    return cidrFromOctets(address, isV4 ? length % 32 : length)!
  }
)

export const anyWorkload: Arbitrary.Arbitrary<Workload> = Arbitrary.map(
  Arbitrary.all({
    words: words(13),
    ips: Arbitrary.array(ip, { maxLength: 3 }),
    waypoint: maybe(gateway),
    networkGateway: maybe(gateway),
    services: Arbitrary.array(Arbitrary.all([hostname, ports]), { maxLength: 3 }),
    hostname,
    protocol: oneOf(["TCP", "HBONE"] as const),
    networkMode: oneOf(["Standard", "HostNetwork"] as const),
    status: oneOf(["Healthy", "Unhealthy"] as const),
    nativeTunnel: flag,
    applicationTunnel: maybe(
      Arbitrary.all({ protocol: oneOf(["NONE", "PROXY"] as const), port: maybe(integer(1, 65535)) })
    ),
    workloadType: oneOf(["deployment", "cronjob", "pod", "job"]),
    capacity: integer(0, 2 ** 32 - 1)
  }),
  ({ services, words, ...rest }) => {
    const [name, namespace, serviceAccount, trustDomain, network, node, clusterId, workloadName, region] = words
    return workload(name!, [], {
      ...rest,
      uid: words[12]!,
      namespace: namespace!,
      serviceAccount: serviceAccount!,
      trustDomain: trustDomain!,
      network: network!,
      node: node!,
      clusterId: clusterId!,
      workloadName: workloadName!,
      locality: { region: region!, zone: "", subzone: words[9]! },
      canonicalName: words[10]!,
      canonicalRevision: words[11]!,
      authorizationPolicies: [`${region}/${name}`],
      services: new Map(services.map(([hostname, ports], index) => [`${words[index]}/${hostname}`, ports]))
    })
  }
)

export const anyService: Arbitrary.Arbitrary<Service> = Arbitrary.map(
  Arbitrary.all({
    words: words(4),
    ips: Arbitrary.array(ip, { maxLength: 3 }),
    ranges: Arbitrary.array(range, { maxLength: 3 }),
    hostname,
    ports,
    waypoint: maybe(gateway),
    weightedWaypoints: Arbitrary.array(Arbitrary.all({ destination: gateway, weight: integer(0, 2 ** 32 - 1) }), {
      maxLength: 2
    }),
    loadBalancer: maybe(
      Arbitrary.all({
        routingPreferences: Arbitrary.array(
          oneOf(["Region", "Zone", "Subzone", "Node", "Cluster", "Network"] as const),
          { maxLength: 6 }
        ),
        mode: oneOf(["Standard", "Strict", "Failover", "Passthrough"] as const),
        healthPolicy: oneOf(["OnlyHealthy", "AllowAll"] as const)
      })
    ),
    ipFamilies: oneOf([undefined, "IPv4", "IPv6", "Dual"] as const),
    canonical: flag,
    visibility: oneOf(["Public", "Namespace"] as const)
  }),
  ({ ips, ranges, words, ...rest }) =>
    service(words[0]!, [], {
      ...rest,
      namespace: words[1]!,
      vips: ips.map((ip) => ({ network: words[2]!, ip })),
      cidrVips: ranges.map((cidr) => ({ network: words[3]!, cidr })),
      subjectAltNames: words
    })
)

const stringMatcher: Arbitrary.Arbitrary<StringMatcher> = Arbitrary.map(
  Arbitrary.all([oneOf(["Exact", "Prefix", "Suffix", "Presence"] as const), word, flag]),
  ([_tag, word, isEmpty]) => (_tag === "Presence" ? { _tag } : { _tag, value: isEmpty ? "" : word })
)

const account: Arbitrary.Arbitrary<ServiceAccountMatcher> = Arbitrary.all({ namespace: word, serviceAccount: word })

/** Undefined: the kind is absent. One that says nothing at all cannot be told from an absent one. */
const condition = <M>(matcher: Arbitrary.Arbitrary<M>, canFail: boolean) =>
  Arbitrary.map(
    Arbitrary.all({
      any: Arbitrary.array(matcher, { maxLength: 2 }),
      none: Arbitrary.array(matcher, { maxLength: 2 }),
      notUnderstood: canFail ? flag : oneOf([false])
    }),
    (condition): Condition<M> | undefined =>
      condition.any.length + condition.none.length === 0 && !condition.notUnderstood ? undefined : condition
  )

const match = (canFail: boolean): Arbitrary.Arbitrary<Match> =>
  Arbitrary.map(
    Arbitrary.all({
      namespaces: condition(stringMatcher, canFail),
      principals: condition(stringMatcher, canFail),
      serviceAccounts: condition(account, false),
      sourceIps: condition(range, canFail),
      destinationIps: condition(range, canFail),
      destinationPorts: condition(port, canFail)
    }),
    (kinds) => Object.fromEntries(Object.entries(kinds).filter(([, condition]) => condition !== undefined))
  )

/** With `canFail`, some conditions were not understood: a file cannot say that, the wire can. */
export const anyPolicy = (canFail: boolean): Arbitrary.Arbitrary<Policy> =>
  Arbitrary.map(
    Arbitrary.all({
      words: words(2),
      scope: oneOf(["Global", "Namespace", "WorkloadSelector"] as const),
      action: oneOf(["Allow", "Deny"] as const),
      dryRun: flag,
      rules: listOf(listOf(listOf(match(canFail))))
    }),
    ({ words: [name, namespace], ...rest }) => policy(name!, { ...rest, namespace: namespace! })
  )

const listOf = <A>(element: Arbitrary.Arbitrary<A>) => Arbitrary.array(element, { maxLength: 2 })
