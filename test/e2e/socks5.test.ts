/** Applications that come in by SOCKS5, curl among them, and what the access log of both sides says of them. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import { accessLineFrom } from "../support/accessLines.ts"
import { isMissing, run } from "../support/commands.ts"
import { CLIENT_IDENTITY, meshAddresses, type Pair, SERVER_IDENTITY, SERVICE, startPair } from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { askSocks5, closedPort, tcpServer } from "../support/tcpPeers.ts"

/** Two shards on each side, and a web server in the server's pod. */
class Story extends Context.Service<Story, Pair & { readonly web: number }>()("weft/test/e2e/socks5/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const web = yield* webServer(addresses.server)
      const pair = yield* startPair({ addresses, ports: [[80, web]], env: { ZTUNNEL_WORKER_THREADS: "2" } })
      return { ...pair, web }
    })
  )
}

const webServer = (host: string) => {
  const http = Http.createServer((request, response) => {
    response.end(`${request.method} from ${request.socket.remoteAddress}\n`)
  })
  return Effect.map(
    tcpServer(host, (socket) => void http.emit("connection", socket)),
    ({ port }) => port
  )
}

const curl = ({ client }: Pair, url: string) => {
  const { host, port } = client.ports.socks5
  return run("curl", ["-sS", "-m", "10", "-w", "%{http_code}", "-x", `socks5h://${host}:${port}`, url])
}

/** The next access line of each side. Waiting begins with the call, reading with the effect. */
const bothSides = ({ client, server }: Pair, fields: Readonly<Record<string, string>> = {}) => {
  const outbound = accessLineFrom(client, { direction: "outbound", ...fields })
  const inbound = accessLineFrom(server, { direction: "inbound", ...fields })
  return Effect.promise(() => Promise.all([outbound(), inbound()]))
}

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("through SOCKS5", (it) => {
  const targets: ReadonlyArray<readonly [string, (story: Story["Service"]) => string]> = [
    ["the VIP", ({ addresses }) => addresses.vip],
    ["its name in the mesh", () => SERVICE],
    ["the pod's IP", ({ addresses, web }) => `${addresses.server}:${web}`]
  ]
  for (const [what, hostOf] of targets) {
    it.effect.skipIf(isMissing("curl"))(`curl reaches the server by ${what}; both sides log who spoke to whom`, () =>
      Effect.gen(function* () {
        const story = yield* Story
        const { addresses, server, web } = story
        const authority = `${addresses.server}:${web}`
        const lines = bothSides(story, { "dst.hbone_addr": authority })
        const { code, stderr, stdout } = yield* curl(story, `http://${hostOf(story)}/`)
        assert.strictEqual(code, 0, stderr)
        assert.match(stdout, /^GET from \S+\n200$/)
        const [outbound, inbound] = yield* lines
        // outbound logs the service that was asked for, inbound the one that leads to this port
        assert.strictEqual(outbound.fields["dst.service"], what === "the pod's IP" ? undefined : SERVICE)
        assert.strictEqual(inbound.fields["dst.service"], SERVICE)
        for (const line of [outbound, inbound]) {
          assert.strictEqual(line.level, "info")
          assert.strictEqual(line.message, "connection complete")
          assert.deepInclude(line.fields, {
            "src.workload": "cart-1",
            "src.namespace": "shop",
            "src.identity": CLIENT_IDENTITY,
            "dst.addr": `${addresses.server}:${server.ports.inbound.port}`,
            "dst.workload": "shelf-1",
            "dst.namespace": "books",
            "dst.identity": SERVER_IDENTITY
          })
          assert.notProperty(line.fields, "error")
        }
      })
    )
  }

  it.effect(
    "counts bytes from the application's side: 11 sent and 22 received are 11/22 outbound and 22/11 inbound",
    () =>
      Effect.gen(function* () {
        const story = yield* Story
        const application = yield* tcpServer(story.addresses.server)
        const lines = bothSides(story, { "dst.hbone_addr": `${application.host}:${application.port}` })
        const client = yield* story.open(application.host, application.port)
        yield* Effect.promise(async () => {
          const served = await application.accept()
          client.socket.end("hello there")
          assert.strictEqual(String(await served.ended), "hello there")
          served.socket.end("hello there, and again!".slice(0, 22))
          assert.strictEqual((await client.ended).length, 22)
        })
        const [outbound, inbound] = yield* lines
        assert.deepInclude(outbound.fields, { bytes_sent: "11", bytes_recv: "22" })
        assert.deepInclude(inbound.fields, { bytes_sent: "22", bytes_recv: "11" })
      })
  )

  it.effect("what the mesh does not know is passed through, without identities", () =>
    Effect.gen(function* () {
      const story = yield* Story
      const outside = yield* tcpServer(loopbackAddress())
      const destination = `${outside.host}:${outside.port}`
      const outbound = accessLineFrom(story.client, { "dst.addr": destination })
      const inboundLines = story.server.lines.length
      const client = yield* story.open(outside.host, outside.port)
      yield* Effect.promise(async () => {
        const served = await outside.accept()
        assert.strictEqual(served.socket.remoteAddress, story.addresses.client)
        client.socket.end("ping")
        assert.strictEqual(String(await served.ended), "ping")
        served.socket.end("pong")
        assert.strictEqual(String(await client.ended), "pong")
        const line = await outbound()
        assert.deepInclude(line.fields, { direction: "outbound", bytes_sent: "4", bytes_recv: "4" })
        for (const field of ["src.identity", "dst.identity", "dst.hbone_addr", "dst.workload", "error"]) {
          assert.notProperty(line.fields, field)
        }
      })
      assert.strictEqual(story.server.lines.length, inboundLines)
    })
  )

  it.effect("a target that refuses is SOCKS reply 5, and an access line that says why", () =>
    Effect.gen(function* () {
      const story = yield* Story
      const host = loopbackAddress()
      const port = yield* closedPort(host)
      const outbound = accessLineFrom(story.client, { "dst.addr": `${host}:${port}` })
      const { peer, reply } = yield* askSocks5(story.client.ports.socks5, { host, port })
      assert.strictEqual(reply, 5)
      assert.strictEqual(yield* Effect.promise(() => peer.ended.then(String)), "")
      const line = yield* Effect.promise(outbound)
      assert.strictEqual(line.level, "error")
      assert.strictEqual(line.message, "connection complete")
      assert.match(line.fields["error"]!, /^connection failed: .*ECONNREFUSED/)
      assert.deepInclude(line.fields, { bytes_sent: "0", bytes_recv: "0" })
    })
  )

  it.effect("a target that refuses behind the tunnel is SOCKS reply 1, and both sides say why", () =>
    Effect.gen(function* () {
      const story = yield* Story
      const host = story.addresses.server
      const port = yield* closedPort(host)
      const lines = bothSides(story, { "dst.hbone_addr": `${host}:${port}` })
      const { reply } = yield* askSocks5(story.client.ports.socks5, { host, port })
      assert.strictEqual(reply, 1)
      const [outbound, inbound] = yield* lines
      assert.strictEqual(outbound.level, "error")
      assert.match(outbound.fields["error"]!, /^http status: 503/)
      assert.match(inbound.fields["error"]!, /^connection failed: .*ECONNREFUSED/)
    })
  )
})
