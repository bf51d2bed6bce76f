/** What `explain` finds out about one connection, before anybody renders it: as text (ExplainText), as JSON (ExplainJson). */
import * as Data from "effect/Data"
import type { Ip, SocketAddress } from "../Address.ts"
import type { Reason } from "../connection/ProxyError.ts"
import type { Spiffe } from "../Identity.ts"
import type { PolicyKey } from "../mesh/Policy.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Authority } from "../wire/Authority.ts"
import type { Step } from "./Trace.ts"
import type { Upstream } from "./Upstream.ts"

export interface ExplainRequest {
  readonly source: Workload
  /** What the application asks for. */
  readonly to: Authority
  /** The network of the proxy. */
  readonly network: string
  readonly hbonePort: number
  /** Ports of the proxies themselves, which nothing is carried to. */
  readonly illegalPorts: ReadonlyArray<number>
  /** In [0, 1): makes every choice. */
  readonly random: number
}

/** ALLOWED and DENIED: by the last word of weft. FORWARDED: carried to somebody who decides, such as a waypoint. */
export type Outcome = "ALLOWED" | "DENIED" | "NO ROUTE" | "PASSTHROUGH" | "FORWARDED"

/** What the application means by what it asks for, and the address that it then connects to. */
export type Asked = Data.TaggedEnum<{
  Address: { readonly target: SocketAddress }
  /** `hidden`: its own namespace's only, and the source is of another. */
  Vip: {
    readonly hostname: string
    readonly service: Service
    readonly hidden: boolean
    readonly target: SocketAddress
  }
  /** A service without an address: DNS answers with those of its endpoints, of which this is the first. */
  Headless: {
    readonly hostname: string
    readonly service: Service
    readonly workload: Workload
    readonly others: number
    readonly target: SocketAddress
  }
  WorkloadName: { readonly hostname: string; readonly workload: Workload; readonly target: SocketAddress }
  /** The mesh knows the name and no address for it. `external`: an endpoint is a hostname that DNS may know. */
  NoAddress: { readonly hostname: string; readonly of: Service | Workload; readonly external: boolean }
  UnknownName: { readonly hostname: string }
}>
export const Asked = Data.taggedEnum<Asked>()

export interface Outbound {
  readonly steps: ReadonlyArray<Step>
  /** Undefined when it failed, and when there was no address to ask for. */
  readonly upstream: Upstream | undefined
  readonly failed: Reason | undefined
}

/** A verdict of policies, and of each policy that was asked why it matched, or why not. */
export interface Judgement {
  readonly steps: ReadonlyArray<Step>
  readonly allowed: boolean
  readonly identity: Spiffe | undefined
  readonly source: Ip
  readonly destination: SocketAddress
  readonly why: ReadonlyMap<PolicyKey, ReadonlyArray<string>>
}

export type FarSide = Data.TaggedEnum<{
  /** Nothing gets that far. */
  NotReached: {}
  /** Nothing of the mesh. */
  Outside: {}
  /** A node proxy takes the stream and judges it. `judgement` is absent when it finds nowhere to bring the bytes. */
  NodeProxy: {
    readonly workload: Workload
    readonly waypoint: boolean
    readonly steps: ReadonlyArray<Step>
    readonly failed: Reason | undefined
    readonly judgement: Judgement | undefined
  }
  /** It ends HBONE itself and decides for itself. */
  Itself: { readonly workload: Workload; readonly waypoint: boolean }
  Gateway: { readonly gateway: Workload; readonly network: string }
  /** Plain TCP. `judgement`: what its policies would say if a node proxy captured it after all. */
  Plaintext: { readonly workload: Workload; readonly policies: number; readonly judgement: Judgement }
}>
export const FarSide = Data.taggedEnum<FarSide>()

/** How things of this explanation are called. */
export interface Names {
  readonly workload: (uid: string) => string
  /** Of a service's key, or a workload's uid. */
  readonly thing: (key: string) => string
  /** A hostname stands for the address that DNS would give. */
  readonly ip: (ip: Ip) => string
  readonly address: (address: SocketAddress) => string
  /** The same for `host:port` and `ip:port`. */
  readonly authority: (authority: string) => string
}

export interface Explanation {
  readonly request: ExplainRequest
  /** What the source connects from. */
  readonly sourceIp: Ip
  readonly asked: Asked
  readonly outbound: Outbound
  readonly far: FarSide
  readonly outcome: Outcome
  /** What to change, when it is not carried; else what is worth knowing. Sentences. */
  readonly advice: ReadonlyArray<string>
  readonly names: Names
}
