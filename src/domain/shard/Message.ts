/**
 * What crosses the threads, as plain data that structured clone carries. Mesh state does so as encoded bytes in shared
 * memory: a message holds references, and costs the same however much it brings (house rule 6).
 */
import type { Ip, SocketAddress } from "../Address.ts"
import type { Spiffe } from "../Identity.ts"
import type { WorkloadInfo } from "../mesh/Workload.ts"

/** One identity's certificate: PEM texts; times in epoch milliseconds. */
export interface CertificateBundle {
  readonly identity: Spiffe
  /** Leaf, then intermediates. */
  readonly chain: string
  readonly key: string
  readonly roots: string
  readonly notBefore: number
  readonly notAfter: number
}

/** Who is listened to; readiness is no part of a proxy. */
export type ProxyListenerKind = "outbound" | "inbound" | "inboundPlaintext" | "socks5"
export type ListenerKind = ProxyListenerKind | "readiness"

/** A listening socket of the process: the shard duplicates `fd`; without one (portable) it binds `address` itself. */
export interface ListenerSpec<Kind extends ListenerKind = ListenerKind> {
  readonly kind: Kind
  readonly fd: number | undefined
  readonly address: SocketAddress
}

/** One set of listeners that serve one workload: the only one of dedicated mode, or one per pod. */
export interface ProxySet {
  readonly id: number
  readonly workload: WorkloadInfo
  readonly listeners: ReadonlyArray<ListenerSpec<ProxyListenerKind>>
  /** The address that dialled sockets are bound to, where the kernel would not choose it. */
  readonly localIp: Ip | undefined
  /** Where the other side's HBONE listener is. */
  readonly hbonePort: number
  readonly illegalPorts: ReadonlyArray<number>
}

/** Where readiness is asked for: with or without a mesh, and whether anything else is served or not. */
export interface ProbeSet {
  readonly id: number
  readonly listeners: ReadonlyArray<ListenerSpec<"readiness">>
}

/** Sets are told apart by their ids, whatever their kind. */
export type Serve =
  | { readonly _tag: "Serve"; readonly set: ProxySet }
  | { readonly _tag: "ServeProbes"; readonly set: ProbeSet }

/** What the mesh becomes, or all that it is for a new shard. To be seen at once. */
export interface MeshPush {
  readonly _tag: "Mesh"
  /** Counts up from 1. */
  readonly version: number
  /** Each a DeltaDiscoveryResponse in shared memory, in order; nobody writes to it again. */
  readonly batches: ReadonlyArray<Uint8Array>
}

export type ToShard =
  | MeshPush
  | { readonly _tag: "Certificate"; readonly bundle: CertificateBundle }
  | { readonly _tag: "CertificateUnavailable"; readonly identity: Spiffe; readonly detail: string }
  | Serve
  | { readonly _tag: "Drain"; readonly deadlineMs: number }

export type FromShard =
  | { readonly _tag: "Applied"; readonly version: number }
  | { readonly _tag: "Serving"; readonly set: number; readonly listeners: ReadonlyArray<ListenerSpec> }
  | { readonly _tag: "ServeFailed"; readonly set: number; readonly detail: string }
  | { readonly _tag: "NeedCertificate"; readonly identity: Spiffe }
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Drained" }
