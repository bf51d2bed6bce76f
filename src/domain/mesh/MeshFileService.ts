/**
 * One entry of `services` in a mesh file (reference state §7). Its `endpoints` are not part of a service, as they are not
 * on the wire: they go to the workloads that they name.
 */
import * as Result from "effect/Result"
import { type Ip, ipUnsafe } from "../Address.ts"
import type { Cidr } from "../Cidr.ts"
import { cidr, gateway, networkIp, ports } from "./MeshFileFields.ts"
import type { LoadBalancer, Service } from "./Service.ts"
import type { PortMap, Workload } from "./Workload.ts"
import {
  type At,
  dictionary,
  flag,
  integer,
  list,
  mapping,
  oneOf,
  optional,
  type Placed,
  placed,
  type Read,
  required,
  text
} from "./YamlReader.ts"

export interface ServiceEntry {
  readonly service: Service
  readonly endpoints: ReadonlyArray<EndpointEntry>
}

export interface EndpointEntry {
  readonly place: At
  readonly workloadUid: Placed<string>
  readonly ports: PortMap
  /** Undefined: the entry does not say. */
  readonly status: Placed<Workload["status"]> | undefined
}

type ServiceFields = Service & { readonly endpoints: ReadonlyMap<string, EndpointEntry> }

type EndpointFields = Pick<EndpointEntry, "workloadUid" | "status"> & { readonly port: PortMap }

const endpointFields = mapping<EndpointFields>({
  workloadUid: required(placed(text)),
  port: optional(ports, new Map()),
  status: optional(placed(oneOf("Healthy", "Unhealthy")), undefined)
})

const endpoint: Read<EndpointEntry> = (place) =>
  Result.map(endpointFields(place), ({ port, ...rest }) => ({ ...rest, place, ports: port }))

const loadBalancer = mapping<LoadBalancer>({
  routingPreferences: required(list(oneOf("Region", "Zone", "Subzone", "Node", "Cluster", "Network"))),
  mode: required(oneOf("Standard", "Strict", "Failover", "Passthrough")),
  healthPolicy: required(oneOf("OnlyHealthy", "AllowAll"))
})

const fields = mapping<ServiceFields>({
  name: required(text),
  namespace: required(text),
  hostname: required(text),
  vips: required(list(networkIp)),
  ports: required(ports),
  cidrVips: optional(
    list(mapping<Service["cidrVips"][number]>({ network: optional(text, ""), cidr: required(cidr) })),
    []
  ),
  endpoints: optional(dictionary(text, endpoint), new Map()),
  subjectAltNames: optional(list(text), []),
  waypoint: optional(gateway, undefined),
  weightedWaypoints: optional(
    list(
      mapping<Service["weightedWaypoints"][number]>({
        destination: required(gateway),
        weight: required(integer(2 ** 32 - 1))
      })
    ),
    []
  ),
  loadBalancer: optional(loadBalancer, undefined),
  ipFamilies: optional(oneOf("IPv4", "IPv6", "Dual"), undefined),
  canonical: optional(flag, false),
  visibility: optional(oneOf("Public", "Namespace"), "Public")
})

export const serviceEntry: Read<ServiceEntry> = (place) =>
  Result.map(fields(place), ({ endpoints, ...service }) => ({
    service: { ...service, ...addressesOf(service) },
    endpoints: Array.from(endpoints.values())
  }))

/** A range of one address is that address, as on the wire. */
const addressesOf = ({ cidrVips, vips }: Service): Pick<Service, "vips" | "cidrVips"> => {
  const isSingle = ({ cidr }: Service["cidrVips"][number]) => cidr.length === cidr.words.length * 32
  const singles = cidrVips.filter(isSingle).map(({ cidr, network }) => ({ network, ip: networkAddress(cidr) }))
  return { vips: [...vips, ...singles], cidrVips: cidrVips.filter((range) => !isSingle(range)) }
}

/** Made here from canonical text, which holds no more than the address and its length. */
const networkAddress = ({ text }: Cidr): Ip => ipUnsafe(text.slice(0, text.indexOf("/")))
