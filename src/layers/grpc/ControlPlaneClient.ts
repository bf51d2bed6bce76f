/**
 * A gRPC client for a server of the control plane: TLS with the roots of now, and who we are in each call (reference state
 * §1.2). Roots and token are read anew for each, so that whoever replaces the files need not tell us.
 */
import { credentials, Metadata } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import * as Net from "node:net"
import * as Tls from "node:tls"
import type { ControlPlane, Token, TrustedRoots } from "../../domain/config/ControlPlane.ts"
import { type GrpcClient, makeGrpcClient } from "./GrpcClient.ts"
import { GrpcError } from "./GrpcError.ts"

export const controlPlaneClient = Effect.fnUntraced(function* (
  controlPlane: ControlPlane
): Effect.fn.Return<GrpcClient, GrpcError, Scope.Scope> {
  const { altHostname, host, port } = controlPlane
  const server = serverName(controlPlane)
  const roots = yield* readRoots(controlPlane.roots, server)
  const context = yield* Effect.try({
    try: () => Tls.createSecureContext({ ca: roots, ...TLS }),
    catch: (cause) => unavailable(server, `the root certificates cannot be used: ${textOf(cause)}`)
  })
  return yield* makeGrpcClient({
    target: targetOf(host, port),
    server,
    // nobody may be asked for by address (RFC 6066 §3), and the library would; whose certificate it is, is judged below
    tlsName: Net.isIP(host) === 0 ? undefined : (altHostname ?? "istiod"),
    credentials: credentials.createFromSecureContext(context, {
      checkServerIdentity: (_name, certificate) => {
        const wrong = Tls.checkServerIdentity(host, certificate)
        return wrong === undefined || altHostname === undefined
          ? wrong
          : Tls.checkServerIdentity(altHostname, certificate)
      }
    }),
    metadata: metadataOf(controlPlane, server)
  })
})

const serverName = ({ host, port }: Pick<ControlPlane, "host" | "port">): string =>
  Net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`

/** PEM. */
const readRoots = (roots: TrustedRoots, server: string): Effect.Effect<string, GrpcError> => {
  switch (roots._tag) {
    case "System":
      return Effect.sync(() => Tls.getCACertificates("system").join("\n"))
    case "Pem":
      return Effect.succeed(roots.text)
    case "File":
      return readText(roots.path, server, "the root certificates")
  }
}

const metadataOf = Effect.fnUntraced(function* (
  { clusterId, headers, token }: ControlPlane,
  server: string
): Effect.fn.Return<Metadata, GrpcError> {
  const metadata = new Metadata()
  for (const [name, value] of headers) metadata.set(name, value)
  const text = yield* readToken(token, server)
  if (text !== undefined) {
    metadata.set("authorization", `Bearer ${text}`)
    metadata.set("clusterid", clusterId)
  }
  return metadata
})

/** Trimmed, unlike ztunnel's (reference state §10, 31): an editor's newline must not cost a mesh. */
const readToken = (token: Token, server: string): Effect.Effect<string | undefined, GrpcError> => {
  if (token._tag === "Text") return Effect.succeed(token.text)
  const read = Effect.tryPromise({ try: () => readFile(token.path, "utf8"), catch: (cause) => cause })
  return Effect.matchEffect(read, {
    onSuccess: (text) =>
      text.trim() === ""
        ? Effect.fail(unavailable(server, `token file exists, but was empty: ${token.path}`))
        : Effect.succeed(text.trim()),
    onFailure: (cause) =>
      token._tag === "FileIfThere" && isMissing(cause)
        ? Effect.undefined
        : Effect.fail(unavailable(server, `the token cannot be read: ${textOf(cause)}`))
  })
}

const readText = (path: string, server: string, what: string) =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => unavailable(server, `${what} cannot be read: ${textOf(cause)}`)
  })

/** Our own trouble, in gRPC's terms: the next attempt may find the file mended. */
const unavailable = (server: string, details: string) => GrpcError.of(server, { code: 14, details })

const isMissing = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "ENOENT"
const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const targetOf = (host: string, port: number): string => {
  if (Net.isIPv4(host)) return `ipv4:${host}:${port}`
  return Net.isIPv6(host) ? `ipv6:[${host}]:${port}` : `dns:${host}:${port}`
}

/** As between proxies (reference state §1.2). */
const TLS: Tls.SecureContextOptions = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
}
