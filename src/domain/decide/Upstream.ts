/** Where an outbound connection goes, and what has to be known before that can be said. */
import * as Data from "effect/Data"
import type { Ip, SocketAddress } from "../Address.ts"
import type { Spiffe } from "../Identity.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"

export type Upstream = Data.TaggedEnum<{
  /** Not of the mesh: plain TCP to where the application wanted to go. */
  Passthrough: { readonly target: SocketAddress }
  /** A workload without HBONE: plain TCP. */
  Direct: { readonly address: SocketAddress; readonly workload: Workload; readonly service: Service | undefined }
  Hbone: {
    readonly nextHop: SocketAddress
    /** `ip:port`: of the application at the far end, or what was asked for where the next hop is a waypoint. */
    readonly authority: string
    /** Who the next hop is: the endpoint, or its waypoint. */
    readonly workload: Workload
    /** The service that was asked for. */
    readonly service: Service | undefined
    /** Any one of them is accepted from the next hop. */
    readonly identities: ReadonlyArray<Spiffe>
  }
  /** To another network: a tunnel to its gateway, and in it one to whoever the gateway chooses. */
  DoubleHbone: {
    readonly nextHop: SocketAddress
    /** `<service hostname>:<service port>`, in both tunnels. */
    readonly authority: string
    readonly gateway: Workload
    /** The workload for which the gateway was chosen; the gateway may choose another one. */
    readonly endpoint: Workload
    readonly gatewayIdentities: ReadonlyArray<Spiffe>
    readonly service: Service
    /** Accepted from the far end, who is not known beforehand: the service's alternative names. None: nobody is. */
    readonly identities: ReadonlyArray<Spiffe>
  }
}>
export const Upstream = Data.taggedEnum<Upstream>()

/** The decision needs the addresses of a hostname; ask again when `names` knows them. */
export class NameNeeded extends Data.TaggedError("NameNeeded")<{ readonly hostname: string }> {}

export interface OutboundRequest {
  /** The workload that connects. */
  readonly source: Workload
  /** The address that it connects from; tells a waypoint from others of its identity. */
  readonly sourceIp: Ip
  readonly target: SocketAddress
  /** The network of this proxy. */
  readonly network: string
  /** Where other nodes' HBONE listeners are. */
  readonly hbonePort: number
  /** In [0, 1): makes every choice; the same number in the same mesh makes the same ones. */
  readonly random: number
  /** The addresses of a hostname as far as they have been looked up; empty: it has none. */
  readonly names: (hostname: string) => ReadonlyArray<Ip> | undefined
  /** Open connections to a workload: then the less loaded of two candidates is taken (by capacity). Undefined: one is drawn. */
  readonly loadOf: ((uid: string) => number) | undefined
}
