/**
 * `istio.workload.Workload` and the messages that it shares with services → domain (reference state §3.3).
 *
 * Two things are rejected that ztunnel takes: a port above 65535, which it cuts to 16 bits and so dials another one
 * (§10, 15), and a workload without uid, as all of those would be one workload.
 */
import * as Result from "effect/Result"
import { type Ip, ipFromOctets } from "../Address.ts"
import type { ApplicationTunnel, GatewayAddress, PortMap, ServiceKey, Workload } from "../mesh/Workload.ts"
import type * as Wire from "./gen/workload_pb.ts"
import { reject } from "./Rejected.ts"

/** Throws `Rejected`. */
export const toWorkload = (wire: Wire.Workload): Workload => {
  if (wire.uid === "") return reject("a workload needs a uid")
  return {
    uid: wire.uid,
    name: wire.name,
    namespace: wire.namespace,
    serviceAccount: wire.serviceAccount || DEFAULTS.serviceAccount,
    trustDomain: wire.trustDomain || DEFAULTS.trustDomain,
    network: wire.network,
    ips: wire.addresses.map(toIp),
    hostname: wire.hostname,
    protocol: protocolOf(wire.tunnelProtocol),
    networkMode: known(NETWORK_MODES, wire.networkMode, "network_mode"),
    status: known(STATUSES, wire.status, "status"),
    node: wire.node,
    clusterId: wire.clusterId || DEFAULTS.clusterId,
    workloadName: wire.workloadName,
    workloadType: WORKLOAD_TYPES[wire.workloadType] ?? WORKLOAD_TYPES[0],
    canonicalName: wire.canonicalName,
    canonicalRevision: wire.canonicalRevision,
    waypoint: wire.waypoint && toGateway(wire.waypoint),
    networkGateway: wire.networkGateway && toGateway(wire.networkGateway),
    nativeTunnel: wire.nativeTunnel,
    applicationTunnel: wire.applicationTunnel && toTunnel(wire.applicationTunnel),
    locality: {
      region: wire.locality?.region ?? "",
      zone: wire.locality?.zone ?? "",
      subzone: wire.locality?.subzone ?? ""
    },
    capacity: wire.capacity ?? 1,
    authorizationPolicies: wire.authorizationPolicies,
    services: toServices(wire.services)
  }
}

const protocolOf = (wire: Wire.TunnelProtocol): Workload["protocol"] =>
  wire === LEGACY
    ? reject("unknown enum: unsupported tunnel protocol: legacy istio mtls")
    : known(PROTOCOLS, wire, "tunnel_protocol")

const toServices = (wire: Wire.Workload["services"]): ReadonlyMap<ServiceKey, PortMap> => {
  const services = new Map<ServiceKey, PortMap>()
  for (const key of Object.keys(wire)) {
    if (!key.includes("/")) return reject(`failed to parse namespaced hostname: ${key}`)
    services.set(key, toPorts(wire[key]!.ports))
  }
  return services
}

const toTunnel = ({ port, protocol }: Wire.ApplicationTunnel): ApplicationTunnel => ({
  protocol: known(TUNNELS, protocol, "application_tunnel.protocol"),
  port: port === 0 ? undefined : toPort(port)
})

/** Of equal service ports, the last counts. */
export const toPorts = (wire: ReadonlyArray<Wire.Port>): PortMap => {
  const ports = new Map<number, number>()
  for (const { servicePort, targetPort } of wire) ports.set(toPort(servicePort), toPort(targetPort))
  return ports
}

const toPort = (wire: number): number => (wire > 65535 ? reject(`there is no port ${wire}`) : wire)

/** The `length` of the address means nothing here (§2.2). */
export const toGateway = ({ destination, hboneMtlsPort: port }: Wire.GatewayAddress): GatewayAddress => {
  const hboneMtlsPort = toPort(port)
  if (destination.case === "address") {
    const { address, network } = destination.value
    return { destination: { _tag: "Address", network, ip: toIp(address) }, hboneMtlsPort }
  }
  if (destination.case === undefined) return reject("nonempty gateway address is missing address")
  const { hostname, namespace } = destination.value
  return { destination: { _tag: "Hostname", namespace, hostname }, hboneMtlsPort }
}

export const toIp = (octets: Uint8Array): Ip =>
  Result.getOrElse(ipFromOctets(octets), () => reject(`failed to parse address, had ${octets.length} bytes`))

/** The word that stands for an enum number; `words` in the order of the numbers. */
export const known = <A>(words: ReadonlyArray<A>, number: number, field: string): A =>
  words[number] ?? reject(`decode error: unknown enumeration value ${number} of ${field}`)

export const DEFAULTS = { trustDomain: "cluster.local", serviceAccount: "default", clusterId: "Kubernetes" } as const

/** In the order of their numbers, as are all that follow. */
export const PROTOCOLS = ["TCP", "HBONE"] as const
const LEGACY = 2
export const NETWORK_MODES = ["Standard", "HostNetwork"] as const
export const STATUSES = ["Healthy", "Unhealthy"] as const
export const TUNNELS = ["NONE", "PROXY"] as const
/** For metrics and logs: an unknown number is a deployment (§10, 16). */
export const WORKLOAD_TYPES = ["deployment", "cronjob", "pod", "job"] as const
