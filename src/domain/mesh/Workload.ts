/** A workload: one pod, or one external host, as the control plane describes it (reference state §2.2, §7). Plain data. */
import type { Ip } from "../Address.ts"
import { formatIdentity, type Spiffe } from "../Identity.ts"

/** How a workload is reached: HBONE on its node proxy, or plain TCP. */
export type Protocol = "TCP" | "HBONE"

/** `namespace/hostname` of a service. */
export type ServiceKey = string

/** Service port → target port. Target port 0 means "named: the endpoint knows". */
export type PortMap = ReadonlyMap<number, number>

/** Where a waypoint or a network gateway is. */
export interface GatewayAddress {
  readonly destination:
    | { readonly _tag: "Address"; readonly network: string; readonly ip: Ip }
    | { readonly _tag: "Hostname"; readonly namespace: string; readonly hostname: string }
  readonly hboneMtlsPort: number
}

export interface ApplicationTunnel {
  readonly protocol: "NONE" | "PROXY"
  readonly port: number | undefined
}

export interface Locality {
  readonly region: string
  readonly zone: string
  readonly subzone: string
}

export interface Workload {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly trustDomain: string
  readonly network: string
  readonly ips: ReadonlyArray<Ip>
  readonly hostname: string
  readonly protocol: Protocol
  readonly networkMode: "Standard" | "HostNetwork"
  readonly status: "Healthy" | "Unhealthy"
  readonly node: string
  readonly clusterId: string
  readonly workloadName: string
  /** Lower-case: deployment, cronjob, pod, job; empty when not said. */
  readonly workloadType: string
  readonly canonicalName: string
  readonly canonicalRevision: string
  readonly waypoint: GatewayAddress | undefined
  readonly networkGateway: GatewayAddress | undefined
  readonly nativeTunnel: boolean
  readonly applicationTunnel: ApplicationTunnel | undefined
  readonly locality: Locality
  readonly capacity: number
  readonly authorizationPolicies: ReadonlyArray<string>
  /** The services of which it is an endpoint, with its own target ports. */
  readonly services: ReadonlyMap<ServiceKey, PortMap>
}

export const identityOf = (workload: Workload): Spiffe => formatIdentity(workload)

/** How a workload is named where only one workload can be meant: `PROXY_WORKLOAD_INFO`, ZDS. */
export interface WorkloadInfo {
  readonly namespace: string
  readonly name: string
  readonly serviceAccount: string
}
