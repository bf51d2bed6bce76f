/** A service: names and virtual addresses in front of endpoints (reference state §2.2, §7). Plain data. */
import type { Ip } from "../Address.ts"
import type { Cidr } from "../Cidr.ts"
import type { GatewayAddress, PortMap, ServiceKey } from "./Workload.ts"

export interface NetworkIp {
  readonly network: string
  readonly ip: Ip
}

export type RoutingPreference = "Region" | "Zone" | "Subzone" | "Node" | "Cluster" | "Network"

export interface LoadBalancer {
  readonly routingPreferences: ReadonlyArray<RoutingPreference>
  readonly mode: "Standard" | "Strict" | "Failover" | "Passthrough"
  readonly healthPolicy: "OnlyHealthy" | "AllowAll"
}

export interface Service {
  readonly name: string
  readonly namespace: string
  readonly hostname: string
  readonly vips: ReadonlyArray<NetworkIp>
  readonly cidrVips: ReadonlyArray<{ readonly network: string; readonly cidr: Cidr }>
  readonly ports: PortMap
  readonly subjectAltNames: ReadonlyArray<string>
  readonly waypoint: GatewayAddress | undefined
  readonly weightedWaypoints: ReadonlyArray<{ readonly destination: GatewayAddress; readonly weight: number }>
  readonly loadBalancer: LoadBalancer | undefined
  readonly ipFamilies: "IPv4" | "IPv6" | "Dual" | undefined
  readonly canonical: boolean
  readonly visibility: "Public" | "Namespace"
}

export const serviceKey = (service: Pick<Service, "namespace" | "hostname">): ServiceKey =>
  `${service.namespace}/${service.hostname}`
