/** The HBONE listener as an HTTP/2 client sees it: settings, statuses, and the headers of an answer (datapath §3, §4). */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Http2 from "node:http2"
import { accessLineFrom } from "../support/accessLines.ts"
import { ask, hboneClient, tlsOf } from "../support/hbonePeers.ts"
import { caFiles, CLIENT_IDENTITY, meshAddresses, pairMesh, startServerSide } from "../support/meshPair.ts"
import { FRAME, rawHttp2, settingsOf } from "../support/rawHttp2.ts"
import { closedPort, tcpServer } from "../support/tcpPeers.ts"
import type { Pair, TestCa } from "../support/TestCa.ts"
import type { Weft } from "../support/WeftProcess.ts"

interface Given {
  readonly ca: TestCa
  readonly leaf: Pair
  readonly ip: string
  readonly server: Weft
}

/** The server's weft, and a certificate to come in with. */
class Story extends Context.Service<Story, Given>()("weft/test/e2e/http2/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const leaf = yield* Effect.promise(() => ca.leaf({ uris: [CLIENT_IDENTITY] }))
      const server = yield* startServerSide(addresses, pairMesh(addresses, []), env)
      return { ca, leaf, ip: addresses.server, server }
    })
  )
}

/** A request in a tunnel of its own. */
const request = Effect.fnUntraced(function* (headers: Http2.OutgoingHttpHeaders) {
  const { ca, leaf, server } = yield* Story
  const session = yield* hboneClient(server.ports.inbound, ca, leaf)
  return yield* Effect.promise(() => ask(session, headers))
})

const connectTo = (authority: string, headers: Http2.OutgoingHttpHeaders = {}) =>
  request({ ":method": "CONNECT", ":authority": authority, ...headers })

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("the HBONE listener", (it) => {
  it.effect("announces ztunnel's settings and no others, and a window of 16 MiB", () =>
    Effect.gen(function* () {
      const { ca, leaf, server } = yield* Story
      const client = yield* rawHttp2(server.ports.inbound, tlsOf(ca, leaf))
      yield* Effect.promise(async () => {
        const settings = settingsOf(await client.frame(({ type }) => type === FRAME.settings))
        // MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2)
        assert.deepStrictEqual(settings.toSorted(), [`3=200`, `4=${4 * MIB}`, `5=${MIB}`, `6=65536`])
        const window = await client.frame(({ type }) => type === FRAME.windowUpdate)
        assert.strictEqual(window.stream, 0)
        assert.strictEqual(65_535 + window.payload.readUInt32BE(0), 16 * MIB)
      })
    })
  )

  const refused: ReadonlyArray<readonly [string, (ip: string) => Http2.OutgoingHttpHeaders, number, RegExp]> = [
    ["GET", () => ({ ":method": "GET", ":path": "/" }), 400, /^non-CONNECT method: GET$/],
    ["POST", () => ({ ":method": "POST", ":path": "/" }), 400, /^non-CONNECT method: POST$/],
    ["an authority without a port", (ip) => connectHeaders(ip), 400, /^invalid CONNECT authority/],
    ["an authority with a port too high", (ip) => connectHeaders(`${ip}:99999`), 400, /^invalid CONNECT authority/],
    ["port 0", (ip) => connectHeaders(`${ip}:0`), 400, /^invalid CONNECT authority/],
    ["another pod's address", () => connectHeaders("127.0.0.9:80"), 400, /^ip mismatch: \S+ != 127\.0\.0\.9$/],
    ["a name that the mesh does not know", () => connectHeaders("nobody.example:80"), 503, /nobody\.example/]
  ]
  for (const [what, headersFor, status, why] of refused) {
    it.effect(`answers ${what} with ${status}, nothing but the status, and logs why`, () =>
      Effect.gen(function* () {
        const { ip, server } = yield* Story
        const failed = accessLineFrom(server, { direction: "inbound" })
        const { headers, names } = yield* request(headersFor(ip))
        assert.strictEqual(headers[":status"], status)
        assert.deepStrictEqual(names, [":status"])
        const line = yield* Effect.promise(failed)
        assert.deepStrictEqual([line.level, line.message], ["warn", "connection failed"])
        assert.match(line.fields["error"]!, why)
      })
    )
  }

  it.effect("answers one of its own listeners with 503", () =>
    Effect.gen(function* () {
      const { ip, server } = yield* Story
      const { headers } = yield* connectTo(`${ip}:${server.ports.outbound.port}`)
      assert.strictEqual(headers[":status"], 503)
    })
  )

  it.effect("answers a target that refuses with 503, and logs the failed dial with both identities", () =>
    Effect.gen(function* () {
      const { ip, server } = yield* Story
      const authority = `${ip}:${yield* closedPort(ip)}`
      const failed = accessLineFrom(server, { "dst.hbone_addr": authority })
      const { headers, names } = yield* connectTo(authority)
      assert.strictEqual(headers[":status"], 503)
      assert.deepStrictEqual(names, [":status"])
      const line = yield* Effect.promise(failed)
      assert.deepStrictEqual([line.level, line.message], ["error", "connection complete"])
      assert.strictEqual(line.fields["src.identity"], CLIENT_IDENTITY)
      assert.match(line.fields["error"]!, /^connection failed: .*ECONNREFUSED/)
    })
  )

  it.effect("answers 200 with its baggage and nothing else, then carries bytes both ways", () =>
    Effect.gen(function* () {
      const { ip } = yield* Story
      const application = yield* tcpServer(ip)
      const { headers, names, stream } = yield* connectTo(`${ip}:${application.port}`)
      assert.strictEqual(headers[":status"], 200)
      assert.deepStrictEqual(names, [":status", "baggage"])
      assert.strictEqual(headers["baggage"], "k8s.cluster.name=Kubernetes,k8s.namespace.name=books")
      yield* Effect.promise(async () => {
        const served = await application.accept()
        stream.write("question")
        assert.strictEqual(await served.text("question"), "question")
        served.socket.end("answer")
        const answer: Array<Buffer> = []
        for await (const chunk of stream) answer.push(chunk)
        assert.strictEqual(String(Buffer.concat(answer)), "answer")
        assert.strictEqual(stream.rstCode, 0)
      })
    })
  )

  it.effect("turns the application's reset into RST_STREAM(CANCEL), without an end of stream in front of it", () =>
    Effect.gen(function* () {
      const { ca, ip, leaf, server } = yield* Story
      const application = yield* tcpServer(ip)
      const tunnel = yield* rawHttp2(server.ports.inbound, tlsOf(ca, leaf))
      yield* Effect.promise(async () => {
        tunnel.connect(1, `${ip}:${application.port}`)
        const served = await application.accept()
        served.socket.write("part")
        await tunnel.frame(({ payload, type }) => type === FRAME.data && String(payload) === "part")
        served.socket.resetAndDestroy()
        const reset = await tunnel.frame(({ stream, type }) => type === FRAME.reset && stream === 1)
        assert.strictEqual(reset.payload.readUInt32BE(0), 8)
        assert.isFalse(tunnel.frames.some(({ flags, type }) => type === FRAME.data && (flags & END_STREAM) !== 0))
      })
    })
  )

  it.effect("turns RST_STREAM(CANCEL) into a reset at the application, and logs a normal end", () =>
    Effect.gen(function* () {
      const { ca, ip, leaf, server } = yield* Story
      const application = yield* tcpServer(ip)
      const authority = `${ip}:${application.port}`
      const complete = accessLineFrom(server, { "dst.hbone_addr": authority })
      const tunnel = yield* rawHttp2(server.ports.inbound, tlsOf(ca, leaf))
      yield* Effect.promise(async () => {
        tunnel.connect(1, authority)
        const served = await application.accept()
        tunnel.send(FRAME.data, 0, 1, Buffer.from("part"))
        assert.strictEqual(await served.text("part"), "part")
        tunnel.send(FRAME.reset, 0, 1, Buffer.from([0, 0, 0, 8]))
        assert.strictEqual(await served.closed, "reset")
        const { fields, level } = await complete()
        assert.strictEqual(level, "info")
        assert.notProperty(fields, "error")
      })
    })
  )

  it.effect("brings the loss of the tunnel to the application as a reset, and logs it as an error", () =>
    Effect.gen(function* () {
      const { ca, ip, leaf, server } = yield* Story
      const application = yield* tcpServer(ip)
      const authority = `${ip}:${application.port}`
      const complete = accessLineFrom(server, { "dst.hbone_addr": authority })
      const tunnel = yield* rawHttp2(server.ports.inbound, tlsOf(ca, leaf))
      yield* Effect.promise(async () => {
        tunnel.connect(1, authority)
        const served = await application.accept()
        tunnel.socket.destroy()
        assert.strictEqual(await served.closed, "reset")
        assert.match((await complete()).fields["error"]!, /the tunnel closed/)
      })
    })
  )

  it.effect("takes the source's names from baggage where the mesh does not know the peer", () =>
    Effect.gen(function* () {
      const { ip, server } = yield* Story
      const application = yield* tcpServer(ip)
      const authority = `${ip}:${application.port}`
      const complete = accessLineFrom(server, { "dst.hbone_addr": authority })
      const { stream } = yield* connectTo(authority, {
        baggage: "k8s.cluster.name=far,k8s.namespace.name=away,k8s.deployment.name=caller,service.name=callers"
      })
      yield* Effect.promise(async () => {
        stream.end()
        stream.resume()
        const served = await application.accept()
        await served.ended
        served.socket.end()
        const { fields } = await complete()
        assert.deepInclude(fields, { "src.workload": "callers", "src.namespace": "away", "src.cluster": "far" })
      })
    })
  )
})

const connectHeaders = (authority: string) => ({ ":method": "CONNECT", ":authority": authority })

const MIB = 1024 * 1024
const END_STREAM = 1
