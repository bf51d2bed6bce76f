/** One entry of `services` in a mesh file (reference state §7). */
import * as Result from "effect/Result"
import { cidr, gateway, networkIp, ports } from "./MeshFileFields.ts"
import type { Endpoint, LoadBalancer, Service } from "./Service.ts"
import { dictionary, flag, integer, list, mapping, oneOf, optional, type Read, required, text } from "./YamlReader.ts"

type EndpointEntry = Omit<Endpoint, "ports"> & { readonly port: Endpoint["ports"] }

const endpointEntry = mapping<EndpointEntry>({
  workloadUid: required(text),
  port: optional(ports, new Map()),
  status: optional(oneOf("Healthy", "Unhealthy"), "Healthy")
})

const endpoint: Read<Endpoint> = (place) =>
  Result.map(endpointEntry(place), ({ port, ...rest }) => ({ ...rest, ports: port }))

const loadBalancer = mapping<LoadBalancer>({
  routingPreferences: required(list(oneOf("Region", "Zone", "Subzone", "Node", "Cluster", "Network"))),
  mode: required(oneOf("Standard", "Strict", "Failover", "Passthrough")),
  healthPolicy: required(oneOf("OnlyHealthy", "AllowAll"))
})

export const service: Read<Service> = mapping<Service>({
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
