/** The server of tunnels: what becomes of peers that get no further than a handshake, and of renewed certificates. */
import { once } from "node:events"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { CertificateBundle } from "../../../src/domain/shard/Message.ts"
import { serverOptions } from "../../../src/layers/identity/TlsContexts.ts"
import { eventually } from "../../support/eventually.ts"
import {
  bareClient,
  bundleOf,
  CLIENT,
  scopedSocket,
  SERVER,
  serveHbone,
  TLS13,
  tunnelTo
} from "../../support/hboneTunnel.ts"
import { closed } from "../../support/rawTcp.ts"
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

describe("a server of tunnels", () => {
  it.live("frees a peer that connects and says nothing", () =>
    Effect.gen(function* () {
      const { address, refused, sockets } = yield* serveHbone(server, DEADLINE_MS)
      const silent = yield* scopedSocket(() => Net.connect(address.port, address.ip))
      yield* Effect.promise(() => closed(silent))
      yield* until(() => sockets.size === 0 && refused.length === 1, "its end at the server")
    })
  )

  it.live("frees a peer that finishes TLS and says nothing", () =>
    Effect.gen(function* () {
      const { address, counts, sockets } = yield* serveHbone(server, DEADLINE_MS)
      const silent = yield* scopedSocket(() => Tls.connect(bareClient(client, address.port)))
      yield* Effect.promise(() => once(silent, "secureConnect"))
      yield* Effect.promise(() => closed(silent))
      yield* until(() => sockets.size === 0 && counts.closed === 1, "its end at the server")
      assert.strictEqual(counts.opened, 1)
    })
  )

  it.live("keeps a tunnel that has said its settings beyond that deadline", () =>
    Effect.gen(function* () {
      const { address, counts, next } = yield* serveHbone(server, DEADLINE_MS)
      const tunnel = yield* tunnelTo(address, client)
      // a silent peer that came later is gone: the tunnel is older than the deadline
      const silent = yield* scopedSocket(() => Net.connect(address.port, address.ip))
      yield* Effect.promise(() => closed(silent))
      const asking = yield* Effect.forkChild(tunnel.connect(request), { startImmediately: true })
      ;(yield* next).stream.accept({})
      yield* Fiber.join(asking)
      assert.deepStrictEqual(counts, { opened: 1, closed: 0 })
    })
  )

  it.live("frees a peer that sends garbage, before and after TLS", () =>
    Effect.gen(function* () {
      const { address, refused, sockets } = yield* serveHbone(server)
      const plain = yield* scopedSocket(() => Net.connect(address.port, address.ip))
      plain.write("GET / HTTP/1.1\r\n\r\n")
      yield* Effect.promise(() => closed(plain))
      const secure = yield* scopedSocket(() => Tls.connect(bareClient(client, address.port)))
      secure.write("GET / HTTP/1.1\r\n\r\n")
      yield* Effect.promise(() => closed(secure))
      yield* until(() => sockets.size === 0, "no socket")
      assert.lengthOf(refused, 1)
    })
  )

  it.live("takes a peer without ALPN at its word", () =>
    Effect.gen(function* () {
      const { address, counts, next } = yield* serveHbone(server)
      const { ALPNProtocols: _, ...withoutAlpn } = bareClient(client, address.port)
      const socket = yield* scopedSocket(() => Tls.connect(withoutAlpn))
      const session = Http2.connect("https://x", { createConnection: () => socket })
      yield* Effect.addFinalizer(() => Effect.sync(() => session.destroy()))
      const stream = session.request({ ":method": "CONNECT", ":authority": "10.0.0.1:80" })
      const served = yield* next
      served.stream.accept({})
      const [headers]: Array<unknown> = yield* Effect.promise(() => once(stream, "response"))
      assert.strictEqual(Reflect.get(Object(headers), ":status"), 200)
      assert.strictEqual(served.ends.principal, CLIENT)
      assert.strictEqual(counts.opened, 1)
    })
  )

  it.live("refuses a peer that wants another protocol", () =>
    Effect.gen(function* () {
      const { address, counts, refused, sockets } = yield* serveHbone(server)
      const other = yield* scopedSocket(() =>
        Tls.connect(bareClient(client, address.port, { ALPNProtocols: ["http/1.1"] }))
      )
      yield* Effect.promise(() => closed(other))
      yield* until(() => sockets.size === 0, "no socket")
      assert.lengthOf(refused, 1)
      assert.strictEqual(counts.opened, 0)
    })
  )

  it.live.each([
    ["of another trust domain", { uris: ["spiffe://elsewhere/ns/shop/sa/client"] }],
    ["without a name", { uris: [] }],
    ["that is for servers only", { eku: ["serverAuth"] }],
    ["that has expired", { notAfter: new Date(Date.now() - 60_000) }]
  ] as const)("refuses a client with a certificate %s", ([, shape]) =>
    Effect.gen(function* () {
      const { address, counts, refused, sockets } = yield* serveHbone(server)
      const bundle = yield* bundleOf(ca, CLIENT, shape)
      const bare = yield* scopedSocket(() => Tls.connect(bareClient(bundle, address.port)))
      yield* Effect.promise(() => closed(bare))
      yield* until(() => sockets.size === 0 && refused.length === 1, "its end at the server")
      assert.strictEqual(counts.opened, 0)
    })
  )

  it.live("refuses a client without a certificate, and one of another CA", () =>
    Effect.gen(function* () {
      const { address, counts, refused } = yield* serveHbone(server)
      const { cert: _, key: __, ...nameless } = bareClient(client, address.port)
      const stranger = yield* bundleOf(yield* Effect.promise(() => makeTestCa({ name: "another" })), CLIENT)
      for (const options of [nameless, bareClient({ ...stranger, roots: ca.certPem }, address.port)]) {
        const socket = yield* scopedSocket(() => Tls.connect(options))
        yield* Effect.promise(() => closed(socket))
      }
      yield* until(() => refused.length === 2, "both refusals")
      assert.strictEqual(counts.opened, 0)
    })
  )

  it.live("shows a renewed certificate to whoever comes next, keeps its tunnels, and still asks for theirs", () =>
    Effect.gen(function* () {
      const { address, counts, next, refused, ...served } = yield* serveHbone(server)
      const old = yield* tunnelTo(address, client)
      const renewed = yield* bundleOf(ca, SERVER)
      served.server.setTls(serverOptions(renewed, TLS13))
      const bare = yield* scopedSocket(() => Tls.connect(bareClient(client, address.port)))
      yield* Effect.promise(() => once(bare, "secureConnect"))
      assert.strictEqual(bare.getPeerX509Certificate()?.toString(), renewed.chain.replace(/\n\n$/, "\n"))
      const asking = yield* Effect.forkChild(old.connect(request), { startImmediately: true })
      ;(yield* next).stream.accept({})
      yield* Fiber.join(asking)
      const { cert: _, key: __, ...nameless } = bareClient(client, address.port)
      const without = yield* scopedSocket(() => Tls.connect(nameless))
      yield* Effect.promise(() => closed(without))
      yield* until(() => refused.length === 1, "the refusal")
      assert.strictEqual(counts.closed, 0)
    })
  )

  it.live("ends every tunnel, and every handshake under way, with its scope", () =>
    Effect.gen(function* () {
      const [tunnel, halfway] = yield* Effect.scoped(
        Effect.gen(function* () {
          const { address, counts } = yield* serveHbone(server)
          const tunnel = Tls.connect(bareClient(client, address.port))
          const halfway = Net.connect(address.port, address.ip)
          for (const socket of [tunnel, halfway]) socket.on("error", () => {})
          yield* until(() => counts.opened === 1, "the tunnel")
          return [tunnel, halfway] as const
        })
      )
      yield* Effect.promise(() => Promise.all([closed(tunnel), closed(halfway)]))
    })
  )
})
