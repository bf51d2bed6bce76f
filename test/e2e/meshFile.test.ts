/** The mesh file is changed while weft runs. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import { CLIENT_IDENTITY, MeshPair, pairMesh, type Pair } from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { askSocks5, closedPort, tcpServer } from "../support/tcpPeers.ts"

/** The main thread says that the file has changed before its shards know. */
const opened = Effect.fnUntraced(function* ({ client }: Pair, host: string) {
  while (true) {
    const { peer, reply } = yield* askSocks5(client.ports.socks5, { host, port: 80 })
    if (reply === 0) return peer
  }
})

/** Bytes to the application and back, by the service's VIP. */
const exchange = Effect.fnUntraced(function* (pair: Pair, vip: string) {
  const near = yield* opened(pair, vip)
  return yield* Effect.promise(async () => {
    near.socket.end("hello")
    assert.strictEqual(String(await near.ended), "hello")
  })
})

layer(MeshPair.layer(), { excludeTestServices: true, timeout: "60 seconds" })("a mesh file that changes", (it) => {
  it.effect("brings a new service, and a bad one changes nothing but is reported with line and field", () =>
    Effect.gen(function* () {
      const pair = yield* MeshPair
      const { addresses, client } = pair
      const application = yield* tcpServer(addresses.server, (socket) => socket.pipe(socket))
      const fresh = loopbackAddress()
      // an address that nobody has: passed through, and refused there
      yield* closedPort(fresh)
      assert.strictEqual((yield* askSocks5(client.ports.socks5, { host: fresh, port: 80 })).reply, 5)

      const good = pairMesh({ ...addresses, vip: fresh }, [[80, application.port]])
      Fs.writeFileSync(client.meshPath, good)
      yield* Effect.promise(() => client.line((line) => line.includes("has changed: 2 workloads, 1 services")))
      yield* exchange(pair, fresh)

      const lines = good.split("\n")
      const wrong = lines.findIndex((line) => line.includes("protocol: HBONE"))
      Fs.writeFileSync(client.meshPath, lines.with(wrong, lines[wrong]!.replace("HBONE", "HBNOE")).join("\n"))
      const report = yield* Effect.promise(() => client.line((line) => line.includes("the mesh stays as it was")))
      const [, level] = report.split("\t")
      assert.include(["warn", "error"], level)
      assert.include(report, `${client.meshPath}:${wrong + 1}:`)
      assert.match(report, /workloads\[0\]\.protocol: .*HBNOE/)
      yield* exchange(pair, fresh)

      Fs.writeFileSync(client.meshPath, good)
      yield* Effect.promise(() => client.line((line) => line.includes("is good again")))
      const opened = client.lines.filter((line) => line.includes(`src.identity="${CLIENT_IDENTITY}"`))
      assert.strictEqual(opened.length, 2)
    })
  )
})
