/** The configuration, decided: plain data that any thread may hold. Durations are milliseconds, sizes are bytes (reference ops §2). */
import type { Ip } from "../Address.ts"
import type { WorkloadInfo } from "../mesh/Workload.ts"
import type { IssuerSettings, XdsSettings } from "./ControlPlane.ts"

export interface ProxySettings {
  readonly network: string
  readonly nodeName: string | undefined
  readonly clusterId: string
  readonly clusterDomain: string
  readonly trustDomain: string
  /** Dedicated mode's one workload. */
  readonly workload: WorkloadInfo
  /** The mesh as a file or a text; what a control plane says comes on top. One of the two is there. */
  readonly meshFile: MeshFile | undefined
  readonly xds: XdsSettings | undefined
  readonly issuer: IssuerSettings
  /** The life that is asked for when a certificate is. */
  readonly secretTtlMs: number
  /** Certificate revocation lists. */
  readonly crlPath: string | undefined
  readonly workerThreads: number
  readonly socks5: boolean
  readonly ipv6: boolean
  /** Bind address of the four proxy listeners and of readiness; dialled sockets too when it is not a wildcard. */
  readonly bindAddress: Ip
  /** SOCKS5 serves whoever reaches it, so a wildcard `bindAddress` does not apply to it: then it is loopback. */
  readonly socks5BindAddress: Ip
  readonly ports: {
    readonly outbound: number
    readonly inbound: number
    readonly inboundPlaintext: number
    readonly socks5: number
    readonly readiness: number
    /** The echo service that `weft demo` brings. */
    readonly demoEcho: number
  }
  readonly packetMark: number | undefined
  readonly keepalive: {
    readonly enabled: boolean
    readonly timeMs: number
    readonly intervalMs: number
    readonly retries: number
    readonly userTimeout: boolean
  }
  readonly http2: {
    readonly streamWindow: number
    readonly connectionWindow: number
    readonly frameSize: number
  }
  readonly pool: { readonly maxStreams: number; readonly unusedReleaseMs: number }
  /** Of two endpoints that chance picks, the one with fewer connections of the shard; else the first that it picks. */
  readonly leastLoaded: boolean
  readonly drainDeadlineMs: number
  readonly responseBaggage: boolean
  /** Connections that begin with a PROXY header are dialled on loopback, not at the workload's address. */
  readonly localhostAppTunnel: boolean
  readonly tls: { readonly tls12: boolean; readonly postQuantumOnly: boolean }
  readonly log: {
    readonly filter: string
    readonly format: "plain" | "json"
    /** What authorization decides is logged at info, not at debug. */
    readonly policyInfo: boolean
  }
  /** Deadlines that ztunnel does not have (reference datapath §12.2, 12). */
  readonly handshakeTimeoutMs: number
  /** Sentences to be logged once at start: what was accepted but does nothing yet. */
  readonly notes: ReadonlyArray<string>
}

export type MeshFile =
  | { readonly _tag: "File"; readonly path: string }
  | { readonly _tag: "Inline"; readonly text: string }
