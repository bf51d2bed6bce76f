/** What weft's client sends into a tunnel, as the server at its other end sees it (datapath §3.4, §3.6, §3.8). */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { once } from "node:events"
import { accessLineFrom } from "../support/accessLines.ts"
import { fakeHboneServer, type FakeStream } from "../support/hbonePeers.ts"
import { caFiles, meshAddresses, pairMesh, SERVER_IDENTITY, SERVICE, startClientSide } from "../support/meshPair.ts"
import type * as Tls from "node:tls"
import { askSocks5, throughSocks5 } from "../support/tcpPeers.ts"
import type { TestCa } from "../support/TestCa.ts"
import type { Weft } from "../support/WeftProcess.ts"

interface Given {
  readonly ca: TestCa
  readonly client: Weft
  readonly host: string
  readonly vip: string
  readonly next: () => Promise<FakeStream>
  readonly cut: () => void
}

/** The client's weft, and a server that plays the part of the other weft. */
class Story extends Context.Service<Story, Given>()("weft/test/e2e/outboundRequest/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const leaf = yield* Effect.promise(() => ca.leaf({ uris: [SERVER_IDENTITY] }))
      const { cut, host, next, port } = yield* fakeHboneServer(addresses.server, ca, leaf)
      const client = yield* startClientSide(addresses, pairMesh(addresses, [[80, 8080]]), port, env)
      return { ca, client, cut, host, next, vip: addresses.vip }
    })
  )
}

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("weft's HBONE client", (it) => {
  it.effect("sends CONNECT with baggage, forwarded and traceparent, in this order and nothing else", () =>
    Effect.gen(function* () {
      const { client, host, next, vip } = yield* Story
      const peer = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      const { headers } = yield* Effect.promise(next)
      assert.sameMembers(
        headers.slice(0, 2).map(([name]) => name),
        [":method", ":authority"]
      )
      assert.deepStrictEqual(
        headers.slice(2).map(([name]) => name),
        ["baggage", "forwarded", "traceparent"]
      )
      const values = new Map(headers)
      assert.strictEqual(values.get(":method"), "CONNECT")
      assert.strictEqual(values.get(":authority"), `${host}:8080`)
      assert.strictEqual(values.get("baggage"), "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop")
      const { localAddress, localPort } = peer.socket
      assert.strictEqual(values.get("forwarded"), `for="${localAddress}:${localPort}";host=${SERVICE}`)
      assert.match(values.get("traceparent")!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    })
  )

  it.effect("announces ztunnel's client settings, sends no server name, and presents its own identity", () =>
    Effect.gen(function* () {
      const { client, next, vip } = yield* Story
      yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      const { stream } = yield* Effect.promise(next)
      const session = stream.session!
      assert.deepInclude(session.remoteSettings, {
        initialWindowSize: 4 * MIB,
        maxFrameSize: MIB,
        maxHeaderListSize: 16_384,
        enablePush: false
      })
      // a TLS socket, as the server is a secure one
      const socket = session.socket as Tls.TLSSocket & { readonly servername: string | false }
      assert.strictEqual(socket.servername, false)
      assert.strictEqual(socket.getPeerX509Certificate()?.subjectAltName, "URI:spiffe://cluster.local/ns/shop/sa/cart")
    })
  )

  it.effect("turns the application's reset into RST_STREAM(CANCEL), and logs a normal end", () =>
    Effect.gen(function* () {
      const { client, next, vip } = yield* Story
      const complete = accessLineFrom(client)
      const peer = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      yield* Effect.promise(async () => {
        const { stream } = await next()
        stream.resume()
        const closed = once(stream, "close")
        peer.socket.write("some")
        await once(stream, "data")
        peer.socket.resetAndDestroy()
        await closed
        assert.strictEqual(stream.rstCode, 8)
        const { fields, level, message } = await complete()
        assert.deepStrictEqual([level, message], ["info", "connection complete"])
        assert.notProperty(fields, "error")
        assert.deepInclude(fields, { bytes_sent: "4" })
      })
    })
  )

  it.effect("turns RST_STREAM(CANCEL) into a reset of the application's connection, and logs a normal end", () =>
    Effect.gen(function* () {
      const { client, next, vip } = yield* Story
      const complete = accessLineFrom(client)
      const peer = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      yield* Effect.promise(async () => {
        const { stream } = await next()
        stream.write("part")
        assert.strictEqual(await peer.text("part"), "part")
        cancelled(stream)
        assert.strictEqual(await peer.closed, "reset")
        const { fields, level } = await complete()
        assert.strictEqual(level, "info")
        assert.notProperty(fields, "error")
      })
    })
  )

  it.effect("brings the loss of the tunnel to the application as a reset, logs it as an error, and makes another", () =>
    Effect.gen(function* () {
      const { client, cut, next, vip } = yield* Story
      const complete = accessLineFrom(client)
      const target = { host: vip, port: 80 }
      const peer = yield* throughSocks5(client.ports.socks5, target)
      const first = yield* Effect.promise(next)
      yield* Effect.promise(async () => {
        cut()
        assert.strictEqual(await peer.closed, "reset")
        const { fields, level } = await complete()
        assert.strictEqual(level, "error")
        assert.match(fields["error"]!, /the tunnel closed/)
      })
      const again = yield* throughSocks5(client.ports.socks5, target)
      yield* Effect.promise(async () => {
        const { stream } = await next()
        assert.notStrictEqual(stream.session, first.stream.session)
        stream.end("there")
        assert.strictEqual(String(await again.ended), "there")
      })
    })
  )

  it.effect("turns the application's end into END_STREAM, and goes on to deliver the answer", () =>
    Effect.gen(function* () {
      const { client, next, vip } = yield* Story
      const peer = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      yield* Effect.promise(async () => {
        const { stream } = await next()
        peer.socket.end("question")
        const asked: Array<Buffer> = []
        for await (const chunk of stream.iterator({ destroyOnReturn: false })) asked.push(chunk)
        assert.strictEqual(String(Buffer.concat(asked)), "question")
        stream.end("answer")
        assert.strictEqual(String(await peer.ended), "answer")
        assert.strictEqual(await peer.closed, "in order")
      })
    })
  )

  it.effect("does not talk to a server with another identity", () =>
    Effect.gen(function* () {
      const { ca } = yield* Story
      const addresses = meshAddresses()
      const files = yield* caFiles
      assert.notStrictEqual(files.ca, ca)
      const impostor = yield* Effect.promise(() =>
        files.ca.leaf({ uris: ["spiffe://cluster.local/ns/books/sa/other"] })
      )
      const { port } = yield* fakeHboneServer(addresses.server, files.ca, impostor)
      const client = yield* startClientSide(addresses, pairMesh(addresses, [[80, 8080]]), port, files.env)
      const failed = accessLineFrom(client)
      const { reply } = yield* askSocks5(client.ports.socks5, { host: addresses.vip, port: 80 })
      assert.strictEqual(reply, 1)
      const { fields, level } = yield* Effect.promise(failed)
      assert.strictEqual(level, "error")
      assert.match(fields["error"]!, /^tls error: .*sa\/shelf.*sa\/other/)
    })
  )
})

/** RST_STREAM(CANCEL) with nothing in front of it, which only the private handle can (house.md §5). */
const cancelled = (stream: FakeStream["stream"]): void => {
  const symbol = Object.getOwnPropertySymbols(stream).find(({ description }) => description === "kHandle")!
  // nghttp2's stream, which has this method
  const handle = Reflect.get(stream, symbol) as { readonly rstStream: (code: number) => void }
  handle.rstStream(8)
}

const MIB = 1024 * 1024
