/**
 * Domain types → wire messages: the way of what does not come over the wire, the mesh file. Equal values give equal
 * bytes, and what is decoded from them is the value again; a range of full length comes back as a single address, and a
 * type of workload that the protocol does not have as a deployment.
 */
import { create, type MessageInitShape, toBinary, type UnknownEnum } from "@bufbuild/protobuf"
import type { Ip } from "../Address.ts"
import { type Cidr, type IpWords, ipWords } from "../Cidr.ts"
import type { Condition, Match, Policy, ServiceAccountMatcher, StringMatcher } from "../mesh/Policy.ts"
import type { Service } from "../mesh/Service.ts"
import type { GatewayAddress, PortMap, Workload } from "../mesh/Workload.ts"
import * as Authorization from "./gen/authorization_pb.ts"
import * as Wire from "./gen/workload_pb.ts"
import { ACTIONS, POLICY_SCOPES } from "./PolicyMessage.ts"
import { HEALTH_POLICIES, IP_FAMILIES, MODES, SCOPES, VISIBILITIES } from "./ServiceMessage.ts"
import { NETWORK_MODES, PROTOCOLS, STATUSES, TUNNELS, WORKLOAD_TYPES } from "./WorkloadMessage.ts"

/** An `istio.workload.Address`. */
export const encodeWorkload = (workload: Workload): Uint8Array =>
  encodeAddress({
    case: "workload",
    value: create(Wire.WorkloadSchema, {
      uid: workload.uid,
      name: workload.name,
      namespace: workload.namespace,
      serviceAccount: workload.serviceAccount,
      trustDomain: workload.trustDomain,
      network: workload.network,
      addresses: workload.ips.map(octetsOf),
      hostname: workload.hostname,
      tunnelProtocol: numberOf(PROTOCOLS, workload.protocol),
      networkMode: numberOf(NETWORK_MODES, workload.networkMode),
      status: numberOf(STATUSES, workload.status),
      node: workload.node,
      clusterId: workload.clusterId,
      workloadName: workload.workloadName,
      workloadType: numberOf(
        WORKLOAD_TYPES,
        WORKLOAD_TYPES.find((type) => type === workload.workloadType) ?? "deployment"
      ),
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      ...given("waypoint", workload.waypoint, gatewayMessage),
      ...given("networkGateway", workload.networkGateway, gatewayMessage),
      nativeTunnel: workload.nativeTunnel,
      ...given("applicationTunnel", workload.applicationTunnel, ({ port, protocol }) => ({
        protocol: numberOf(TUNNELS, protocol),
        port: port ?? 0
      })),
      locality: workload.locality,
      capacity: workload.capacity,
      authorizationPolicies: [...workload.authorizationPolicies],
      services: Object.fromEntries(
        Array.from(workload.services, ([key, ports]) => [key, { ports: portMessages(ports) }])
      )
    })
  })

/** An `istio.workload.Address`. */
export const encodeService = (service: Service): Uint8Array =>
  encodeAddress({
    case: "service",
    value: create(Wire.ServiceSchema, {
      name: service.name,
      namespace: service.namespace,
      hostname: service.hostname,
      addresses: [
        ...service.vips.map(({ ip, network }) => ({ network, address: octetsOf(ip) })),
        ...service.cidrVips.map(({ cidr, network }) => ({ network, ...rangeMessage(cidr) }))
      ],
      ports: portMessages(service.ports),
      subjectAltNames: [...service.subjectAltNames],
      ...given("waypoint", service.waypoint, gatewayMessage),
      weightedWaypoints: service.weightedWaypoints.map(({ destination, weight }) => ({
        destination: gatewayMessage(destination),
        weight
      })),
      ...given("loadBalancing", service.loadBalancer, ({ healthPolicy, mode, routingPreferences }) => ({
        routingPreference: routingPreferences.map((preference) => numberOf(SCOPES, preference)),
        mode: numberOf(MODES, mode),
        healthPolicy: numberOf(HEALTH_POLICIES, healthPolicy)
      })),
      ipFamilies: numberOf(IP_FAMILIES, service.ipFamilies ?? "Any"),
      canonical: service.canonical,
      visibility: numberOf(VISIBILITIES, service.visibility)
    })
  })

/** An `istio.security.Authorization`. The key is not in it: it goes along as the name of the resource. */
export const encodePolicy = (policy: Policy): Uint8Array =>
  toBinary(
    Authorization.AuthorizationSchema,
    create(Authorization.AuthorizationSchema, {
      name: policy.name,
      namespace: policy.namespace,
      scope: numberOf(POLICY_SCOPES, policy.scope),
      action: numberOf(ACTIONS, policy.action),
      dryRun: policy.dryRun,
      rules: policy.rules.map((rule) => ({
        clauses: rule.map((clause) => ({ matches: clause.map(matchMessage) }))
      }))
    })
  )

const encodeAddress = (type: Wire.Address["type"]): Uint8Array =>
  toBinary(Wire.AddressSchema, create(Wire.AddressSchema, { type }))

type MatchMessage = MessageInitShape<typeof Authorization.MatchSchema>

const matchMessage = (match: Match): MatchMessage => {
  const namespaces = matchersOf(match.namespaces, textMessage, {})
  const principals = matchersOf(match.principals, textMessage, {})
  const serviceAccounts = matchersOf(match.serviceAccounts, serviceAccountMessage, undefined)
  const sourceIps = matchersOf(match.sourceIps, rangeMessage, NO_RANGE)
  const destinationIps = matchersOf(match.destinationIps, rangeMessage, NO_RANGE)
  const destinationPorts = matchersOf(match.destinationPorts, (port) => port, NO_PORT)
  return {
    namespaces: namespaces.any,
    notNamespaces: namespaces.none,
    principals: principals.any,
    notPrincipals: principals.none,
    serviceAccounts: serviceAccounts.any,
    notServiceAccounts: serviceAccounts.none,
    sourceIps: sourceIps.any,
    notSourceIps: sourceIps.none,
    destinationIps: destinationIps.any,
    notDestinationIps: destinationIps.none,
    destinationPorts: destinationPorts.any,
    notDestinationPorts: destinationPorts.none
  }
}

/** `unreadable` stands for the matchers that were not understood; accounts always are. */
const matchersOf = <M, W>(
  { any, none, notUnderstood }: Condition<M> = { any: [], none: [], notUnderstood: false },
  write: (matcher: M) => W,
  unreadable: W | undefined
): { readonly any: Array<W>; readonly none: Array<W> } => {
  const written = { any: any.map(write), none: none.map(write) }
  if (notUnderstood && unreadable !== undefined) written.any.push(unreadable)
  return written
}

const textMessage = (matcher: StringMatcher): MessageInitShape<typeof Authorization.StringMatchSchema> => {
  switch (matcher._tag) {
    case "Exact":
      return { matchType: { case: "exact", value: matcher.value } }
    case "Prefix":
      return { matchType: { case: "prefix", value: matcher.value } }
    case "Suffix":
      return { matchType: { case: "suffix", value: matcher.value } }
    case "Presence":
      return { matchType: { case: "presence", value: {} } }
  }
}

const serviceAccountMessage = ({ namespace, serviceAccount }: ServiceAccountMatcher) => ({ namespace, serviceAccount })

const gatewayMessage = ({
  destination,
  hboneMtlsPort
}: GatewayAddress): MessageInitShape<typeof Wire.GatewayAddressSchema> => {
  if (destination._tag === "Address") {
    const { ip, network } = destination
    return { destination: { case: "address", value: { network, address: octetsOf(ip) } }, hboneMtlsPort }
  }
  const { hostname, namespace } = destination
  return { destination: { case: "hostname", value: { namespace, hostname } }, hboneMtlsPort }
}

const portMessages = (ports: PortMap) => Array.from(ports, ([servicePort, targetPort]) => ({ servicePort, targetPort }))

const rangeMessage = ({ length, words }: Cidr) => ({ address: octetsOfWords(words), length })

const octetsOf = (ip: Ip): Uint8Array => octetsOfWords(ipWords(ip))

const octetsOfWords = (words: IpWords): Uint8Array => {
  const octets = new Uint8Array(words.length * 4)
  const view = new DataView(octets.buffer)
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word)
  return octets
}

/** `words` are in the order of their numbers. */
const numberOf = <A>(words: ReadonlyArray<A>, word: A): UnknownEnum =>
  // any number may stand for an enum on the wire
  words.indexOf(word) as UnknownEnum

/** The field, if there is something in it: protobuf knows absent ones, and none that are undefined. */
const given = <K extends string, A, W>(key: K, value: A | undefined, write: (value: A) => W): { [P in K]?: W } =>
  // of the two, only the key is computed
  value === undefined ? {} : ({ [key]: write(value) } as { [P in K]?: W })

/** What nothing can be read from, in place of what could not. */
const NO_RANGE = { address: new Uint8Array(0), length: 0 }
const NO_PORT = 65536
