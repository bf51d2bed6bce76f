/** The client of tunnels: what becomes of a handshake with a server that is silent, somebody else, or busy. */
import * as Http2 from "node:http2"
import * as Tls from "node:tls"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ipUnsafe, type SocketAddress } from "../../../src/domain/Address.ts"
import type { CertificateBundle } from "../../../src/domain/shard/Message.ts"
import { serverOptions } from "../../../src/layers/identity/TlsContexts.ts"
import { eventually } from "../../support/eventually.ts"
import { bundleOf, CLIENT, SERVER, serveHbone, TLS13, tunnelTo } from "../../support/hboneTunnel.ts"
import { listenTcp } from "../../support/rawTcp.ts"
import { makeTestCa, type TestCa } from "../../support/TestCa.ts"

let ca: TestCa
let server: CertificateBundle
let client: CertificateBundle
beforeAll(async () => {
  ca = await makeTestCa()
  server = await Effect.runPromise(bundleOf(ca, SERVER))
  client = await Effect.runPromise(bundleOf(ca, CLIENT))
})

const until = (check: () => boolean, what: string) => Effect.promise(() => eventually(check, what))
const request = { authority: "10.0.0.1:80", headers: {} }
const DEADLINE_MS = 150

/** A TLS server with our certificate that does as it likes afterwards. */
const tlsServer = Effect.fnUntraced(function* (options: Tls.TlsOptions, handle: (socket: Tls.TLSSocket) => void) {
  const tls = Tls.createServer({ ...serverOptions(server, TLS13), ...options }, (socket) => {
    socket.on("error", () => {})
    handle(socket)
  })
  const { host, open, port } = yield* listenTcp((socket) => tls.emit("connection", socket))
  const address: SocketAddress = { ip: ipUnsafe(host), port }
  return { address, open }
})

describe("a client of tunnels", () => {
  it.live("gives up on a server that accepts and says nothing", () =>
    Effect.gen(function* () {
      const { host, open, port } = yield* listenTcp((socket) => socket.resume().on("end", () => socket.end()))
      const opening = tunnelTo({ ip: ipUnsafe(host), port }, client, { handshakeTimeoutMs: DEADLINE_MS })
      const error = yield* Effect.flip(Effect.scoped(opening))
      assert.strictEqual(error.message, `tls error: ${host}:${port}: no TLS handshake within ${DEADLINE_MS} ms`)
      yield* until(() => open.size === 0, "no socket")
    })
  )

  it.live("gives up on a server that finishes TLS and says nothing", () =>
    Effect.gen(function* () {
      const { address } = yield* tlsServer({}, (socket) => socket.resume())
      const tunnel = yield* tunnelTo(address, client, { handshakeTimeoutMs: DEADLINE_MS })
      let gone = false
      tunnel.watch({ onIdle: () => {}, onGone: () => (gone = true) })
      const error = yield* Effect.flip(tunnel.connect(request))
      assert.include(error.message, `no SETTINGS within ${DEADLINE_MS} ms`)
      yield* until(() => gone, "the tunnel's end")
      assert.strictEqual(tunnel.capacity, 0)
    })
  )

  it.live("refuses a server that is not whom it was told to find", () =>
    Effect.gen(function* () {
      const { address, sockets } = yield* serveHbone(yield* bundleOf(ca, CLIENT))
      const error = yield* Effect.flip(Effect.scoped(tunnelTo(address, client)))
      assert.strictEqual(error.reason._tag, "TlsFailed")
      assert.include(error.message, "spiffe://cluster.local/ns/shop/sa/client")
      yield* until(() => sockets.size === 0, "no socket")
    })
  )

  it.live("refuses a server that does not speak HTTP/2", () =>
    Effect.gen(function* () {
      const { address } = yield* tlsServer({ ALPNProtocols: ["http/1.1"] }, () => {})
      const error = yield* Effect.flip(Effect.scoped(tunnelTo(address, client)))
      assert.strictEqual(error.reason._tag, "TlsFailed")
    })
  )

  it.live("interrupted during the handshake, leaves no socket", () =>
    Effect.gen(function* () {
      const { host, open, port } = yield* listenTcp((socket) => socket.resume().on("end", () => socket.end()))
      const opening = Effect.scoped(tunnelTo({ ip: ipUnsafe(host), port }, client))
      const fiber = yield* Effect.forkChild(opening, { startImmediately: true })
      yield* until(() => open.size === 1, "the connection")
      yield* Fiber.interrupt(fiber)
      yield* until(() => open.size === 0, "no socket")
    })
  )

  it.live("opens no more streams than the server allows, and calls a refused one untouched", () =>
    Effect.gen(function* () {
      const http2 = Http2.createSecureServer({ ...serverOptions(server, TLS13), settings: { maxConcurrentStreams: 2 } })
      http2.on("stream", (stream) => stream.on("error", () => {}).close(Http2.constants.NGHTTP2_REFUSED_STREAM))
      http2.on("sessionError", () => {})
      const { host, port } = yield* listenTcp((socket) => http2.emit("connection", socket))
      const tunnel = yield* tunnelTo({ ip: ipUnsafe(host), port }, client)
      yield* until(() => tunnel.capacity === 2, "the server's settings")
      assert.strictEqual((yield* Effect.flip(tunnel.connect(request)))._tag, "TunnelGone")
      assert.strictEqual(tunnel.capacity, 2)
    })
  )
})
