/**
 * A decision as it is made, step by step, for those who ask why. Decisions take an optional `Trace` and tell it what they
 * looked up, found, skipped and chose; without one nothing is even built (`trace?.(Step.X(…))`).
 */
import * as Data from "effect/Data"
import type { Ip, SocketAddress } from "../Address.ts"
import type { Spiffe } from "../Identity.ts"
import type { WorkloadFacts } from "../mesh/Mesh.ts"
import type { Policy } from "../mesh/Policy.ts"
import type { Service } from "../mesh/Service.ts"
import type { GatewayAddress, Workload } from "../mesh/Workload.ts"

export type Role = "waypoint" | "network gateway"

export type Step = Data.TaggedEnum<{
  /** `hidden`: there is one, visible only to its own namespace. */
  VipLookup: {
    readonly network: string
    readonly ip: Ip
    readonly found: Service | undefined
    readonly hidden: Service | undefined
  }
  WorkloadLookup: { readonly network: string; readonly ip: Ip; readonly found: Workload | undefined }
  /** A hostname in the mesh: a service, or else a workload. */
  HostnameLookup: {
    readonly namespace: string
    readonly hostname: string
    readonly found: Service | Workload | undefined
  }
  /** The service leaves it to the kernel, and no waypoint is in the way. */
  PassthroughMode: { readonly service: Service }
  /** What the connection has to go through. `weighted`: chosen among several. */
  Via: {
    readonly role: Role
    readonly of: string
    readonly reference: GatewayAddress
    readonly weighted: boolean
  }
  ViaResolved: { readonly role: Role; readonly workload: Workload; readonly service: Service | undefined }
  ViaNotFound: { readonly role: Role; readonly reference: GatewayAddress }
  /** The source is that waypoint: its connections go on. */
  FromWaypoint: { readonly waypoint: Workload }
  /** The endpoints of a service: who could be chosen, who was left out and why. */
  Balance: {
    readonly service: Service
    readonly port: number
    readonly portKnown: boolean
    readonly eligible: ReadonlyArray<WorkloadFacts>
    readonly skipped: ReadonlyArray<{ readonly workload: WorkloadFacts; readonly why: Skipped }>
    readonly chosen: Workload | undefined
    readonly targetPort: number | undefined
  }
  /** Of the chosen workload: the address that is dialled. */
  AddressChosen: { readonly workload: Workload; readonly ip: Ip; readonly byName: boolean }
  OtherNetwork: { readonly workload: Workload; readonly network: string }
  /** At the destination: what an authority names, and where its bytes go. */
  Inbound: {
    readonly workload: Workload
    readonly authority: string
    readonly target: SocketAddress
    readonly service: Service | undefined
    readonly tunnel: "None" | "Port" | "ProxyProtocol"
  }
  /** The authority is someone else's, and we are (or are not) its waypoint. */
  AsWaypoint: { readonly authority: string; readonly of: Service | Workload | undefined; readonly accepted: boolean }
  /** Policies that were named and are not there. */
  PolicyMissing: { readonly workload: Workload; readonly key: string }
  PolicyChecked: { readonly policy: Policy; readonly matched: boolean }
  /** `dryRunNoneAllowed`: no ALLOW policy is enforced yet, and those on trial would have let nobody like this in. */
  Judged: {
    readonly workload: Workload
    readonly identity: Spiffe | undefined
    readonly allowed: boolean
    readonly by: Policy | undefined
    readonly because: "DeniedBy" | "AllowedBy" | "NoAllowPolicies" | "NoneAllowed"
    readonly dryRunNoneAllowed: boolean
  }
}>
export const Step = Data.taggedEnum<Step>()

export type Skipped =
  | "unhealthy"
  | "no target port"
  | "no address and no gateway"
  | "not local enough"
  | "no capacity"
  | "no application tunnel"

export type Trace = (step: Step) => void
