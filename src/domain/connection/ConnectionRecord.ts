/**
 * The one record of a connection, filled as it walks its way; the log line, the metric labels, the registry entry are
 * views of it. Byte counts are the proxy's view of the downstream peer: `received` from it, `sent` to it.
 */
import type { SocketAddress } from "../Address.ts"
import type { Spiffe } from "../Identity.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Baggage } from "../wire/Baggage.ts"
import type { Reason } from "./ProxyError.ts"

export type Reporter = "source" | "destination"

export interface ConnectionRecord {
  readonly reporter: Reporter
  /** The peer that connected to us. */
  readonly source: SocketAddress
  /** What the log calls `dst.addr`: the next hop outbound, our own socket inbound, the original destination in passthrough. */
  destination: SocketAddress
  /** Milliseconds on the monotonic clock at which the duration starts. */
  readonly startedAt: number
  /** The CONNECT authority, where there is one. */
  hboneAuthority: string | undefined
  sourceWorkload: Workload | undefined
  /** What the peer says of its workload, for a source the mesh does not know. */
  sourceBaggage: Baggage | undefined
  sourceIdentity: Spiffe | undefined
  destinationWorkload: Workload | undefined
  /** What the far end says of its workload, where we do not know it: behind another network's gateway. */
  destinationBaggage: Baggage | undefined
  /** Who the far end is, where it is not the destination workload's own identity. */
  destinationIdentity: Spiffe | undefined
  service: Service | undefined
  /** Both ends speak mutual TLS: `mutual_tls`, else `unknown`. */
  mutualTls: boolean
  received: number
  sent: number
  /** One of the applications ended with a reset; a normal end, as in ztunnel. */
  reset: boolean
}

/** How it ended, known once. */
export type Outcome = { readonly _tag: "Complete" } | { readonly _tag: "Failed"; readonly reason: Reason }
