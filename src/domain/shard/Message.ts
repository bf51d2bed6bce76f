/**
 * What crosses the threads, as plain data that structured clone carries. Mesh state will travel as encoded bytes once
 * the wire messages exist (docs/architecture.md); until then as the resources themselves.
 */
import type { Ip, SocketAddress } from "../Address.ts"
import type { Spiffe } from "../Identity.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload, WorkloadInfo } from "../mesh/Workload.ts"

/** Everything that a mesh holds, at one moment. */
export interface MeshResources {
  readonly workloads: ReadonlyArray<Workload>
  readonly services: ReadonlyArray<Service>
}

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

export type ListenerKind = "outbound" | "inbound" | "inboundPlaintext" | "socks5" | "readiness"

/** A listening socket of the process: the shard duplicates `fd`; without one (portable) it binds `address` itself. */
export interface ListenerSpec {
  readonly kind: ListenerKind
  readonly fd: number | undefined
  readonly address: SocketAddress
}

/** One set of listeners that serve one workload: the only one of dedicated mode, or one per pod. */
export interface ProxySet {
  readonly id: number
  readonly workload: WorkloadInfo
  readonly listeners: ReadonlyArray<ListenerSpec>
  /** The address that dialled sockets are bound to, where the kernel would not choose it. */
  readonly localIp: Ip | undefined
  /** Where the other side's HBONE listener is. */
  readonly hbonePort: number
  readonly illegalPorts: ReadonlyArray<number>
}

export type ToShard =
  | { readonly _tag: "Mesh"; readonly version: number; readonly resources: MeshResources }
  | { readonly _tag: "Certificate"; readonly bundle: CertificateBundle }
  | { readonly _tag: "CertificateUnavailable"; readonly identity: Spiffe; readonly detail: string }
  | { readonly _tag: "Serve"; readonly set: ProxySet }
  | { readonly _tag: "Drain"; readonly deadlineMs: number }

export type FromShard =
  | { readonly _tag: "Applied"; readonly version: number }
  | { readonly _tag: "Serving"; readonly set: number; readonly listeners: ReadonlyArray<ListenerSpec> }
  | { readonly _tag: "ServeFailed"; readonly set: number; readonly detail: string }
  | { readonly _tag: "NeedCertificate"; readonly identity: Spiffe }
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Drained" }
