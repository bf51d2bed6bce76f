/** weft's own HBONE server and client on loopback, each with what the test changes; certificates from a `TestCa`. */
import { once } from "node:events"
import * as Net from "node:net"
import type * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { formatSocketAddress, ipUnsafe, type SocketAddress } from "../../src/domain/Address.ts"
import { verifyClient } from "../../src/domain/cert/SubjectAltName.ts"
import { proxyError, Reason } from "../../src/domain/connection/ProxyError.ts"
import { formatIdentity, type Spiffe } from "../../src/domain/Identity.ts"
import type { CertificateBundle } from "../../src/domain/shard/Message.ts"
import { openTunnel, type TunnelOptions } from "../../src/layers/hbone/HboneClient.ts"
import { type IncomingStream, makeHboneServer, type TunnelEnds } from "../../src/layers/hbone/HboneServer.ts"
import { clientOptions, serverOptions, type TlsSettings } from "../../src/layers/identity/TlsContexts.ts"
import { listenTcp } from "./rawTcp.ts"
import type { LeafShape, TestCa } from "./TestCa.ts"

export const SERVER = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "server" })
export const CLIENT = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "client" })
export const TLS13: TlsSettings = { tls12: false, postQuantumOnly: false }
export const HTTP2 = { streamWindow: 4 * 1024 * 1024, connectionWindow: 16 * 1024 * 1024, frameSize: 1024 * 1024 }
/** Long enough that a busy machine never meets it. */
const UNHURRIED_MS = 20_000

export const bundleOf = (ca: TestCa, identity: Spiffe, shape: LeafShape = {}): Effect.Effect<CertificateBundle> =>
  Effect.map(
    Effect.promise(() => ca.leaf({ uris: [identity], ...shape })),
    ({ certPem, keyPem }) => ({ identity, chain: certPem, key: keyPem, roots: ca.certPem, notBefore: 0, notAfter: 0 })
  )

export interface ServedStream {
  readonly stream: IncomingStream
  readonly ends: TunnelEnds
}

/** A server whose streams the test takes one by one. */
export const serveHbone = Effect.fnUntraced(function* (bundle: CertificateBundle, handshakeTimeoutMs = UNHURRIED_MS) {
  const counts = { opened: 0, closed: 0 }
  const refused: Array<string> = []
  const streams: Array<ServedStream> = []
  const takers: Array<(stream: ServedStream) => void> = []
  const server = yield* makeHboneServer({
    settings: { http2: HTTP2, handshakeTimeoutMs },
    tls: serverOptions(bundle, TLS13),
    verify: (socket) =>
      Result.match(verifyClient(socket.getPeerX509Certificate()?.subjectAltName, "cluster.local"), {
        onSuccess: (principal) => ({ principal }),
        onFailure: ({ message }) => ({ refused: message })
      }),
    onStream: (stream, ends) => {
      const taker = takers.shift()
      if (taker === undefined) streams.push({ stream, ends })
      else taker({ stream, ends })
    },
    onRefused: (_peer, _local, detail) => refused.push(detail),
    onOpened: () => (counts.opened += 1),
    onClosed: () => (counts.closed += 1)
  })
  const { host, open, port } = yield* listenTcp((socket) => server.accept(socket))
  const address: SocketAddress = { ip: ipUnsafe(host), port }
  const next = Effect.promise(
    async () => streams.shift() ?? (await new Promise<ServedStream>((resolve) => takers.push(resolve)))
  )
  return { server, address, counts, refused, next, untaken: () => streams.length, sockets: open }
})

/** A plain TCP dial, as the Dialer's. */
const dialPlain = (to: SocketAddress): TunnelOptions["transport"] =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const socket = Net.connect({ host: to.ip, port: to.port, allowHalfOpen: true })
        await once(socket, "connect")
        return socket.on("error", () => {})
      },
      catch: (error) => proxyError(Reason.ConnectFailed({ address: formatSocketAddress(to), detail: String(error) }))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

export const tunnelTo = (
  nextHop: SocketAddress,
  bundle: CertificateBundle,
  { accepted = [SERVER], ...rest }: Partial<TunnelOptions> & { readonly accepted?: ReadonlyArray<Spiffe> } = {}
): ReturnType<typeof openTunnel> =>
  openTunnel({
    peer: formatSocketAddress(nextHop),
    transport: dialPlain(nextHop),
    tls: clientOptions(bundle, TLS13, accepted),
    http2: HTTP2,
    maxStreams: 100,
    handshakeTimeoutMs: UNHURRIED_MS,
    ...rest
  })

/** For `tls.connect` straight at the server, without our client; SPIFFE names are not looked at. */
export const bareClient = (bundle: CertificateBundle, port: number, rest: Tls.ConnectionOptions = {}) => ({
  host: "127.0.0.1",
  port,
  ca: bundle.roots,
  cert: bundle.chain,
  key: bundle.key,
  ALPNProtocols: ["h2"],
  checkServerIdentity: () => undefined,
  ...rest
})

export const scopedSocket = <S extends Net.Socket>(connect: () => S): Effect.Effect<S, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = connect()
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
