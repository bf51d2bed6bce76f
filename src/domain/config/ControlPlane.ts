/** How the servers that tell weft its state and sign its certificates are reached: plain data (reference state §1.1, §1.2). */

/** Certificates of authorities that a server's certificate is verified with. */
export type TrustedRoots =
  /** PEM, read anew for each connection. */
  | { readonly _tag: "File"; readonly path: string }
  /** Those of the operating system. */
  | { readonly _tag: "System" }
  | { readonly _tag: "Pem"; readonly text: string }

/** What proves to the control plane who asks. */
export type Token =
  /** Read anew for each call. */
  | { readonly _tag: "File"; readonly path: string }
  /** Used if it is there. */
  | { readonly _tag: "FileIfThere"; readonly path: string }
  | { readonly _tag: "Text"; readonly text: string }

/** One gRPC server, reached over TLS only. */
export interface ControlPlane {
  /** A name or an IP address; what the server's certificate has to be for. */
  readonly host: string
  readonly port: number
  readonly roots: TrustedRoots
  /** Another name that its certificate may be for. */
  readonly altHostname: string | undefined
  readonly token: Token
  /** Sent together with a token. */
  readonly clusterId: string
  /** More gRPC metadata; names in lower case. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
}

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

export interface XdsSettings {
  readonly controlPlane: ControlPlane
  /** Who we are, as istiod expects it (reference state §1.4). */
  readonly node: { readonly id: string; readonly metadata: { readonly [key: string]: Json } }
  /** Workloads and services are asked for one by one, when they are needed. */
  readonly onDemand: boolean
  /** Where the last state is kept for the next start. */
  readonly snapshotPath: string | undefined
}

export interface PemFiles {
  readonly certPath: string
  readonly keyPath: string
}

/** Where certificates come from. */
export type IssuerSettings =
  /** Signed by this process; the root is made at start when none is given. */
  | { readonly _tag: "Embedded"; readonly root: PemFiles | undefined }
  | {
      readonly _tag: "Istio"
      readonly controlPlane: ControlPlane
      /** Others' certificates are asked for, as a node's proxy does in shared mode. */
      readonly impersonate: boolean
    }
  /** One certificate that somebody else keeps fresh: a chain, its PKCS#8 key, and the roots, all PEM. */
  | { readonly _tag: "Files"; readonly files: PemFiles; readonly rootsPath: string }
  /** SPIRE's agent: its Delegated Identity API, or the Workload API for our own certificate. */
  | { readonly _tag: "Spire"; readonly socketPath: string; readonly delegated: boolean }
