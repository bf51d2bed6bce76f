/**
 * The real program where somebody stands between the two workloads: a waypoint, and the gateway of another network with a
 * second weft behind it.
 */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import { ipUnsafe } from "../../src/domain/Address.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import { accessLineFrom, parseAccessLine } from "../support/accessLines.ts"
import { type Forwarder, testGateway, testWaypoint } from "../support/hboneForwarders.ts"
import {
  caFiles,
  CLIENT_IDENTITY,
  type MeshAddresses,
  meshAddresses,
  SERVER_IDENTITY,
  SERVICE,
  startClientSide,
  startServerSide
} from "../support/meshPair.ts"
import { behind, gateway, meshFile, service, workload } from "../support/meshes.ts"
import { eventually } from "../support/eventually.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { patterned } from "../support/tcpConduits.ts"
import { askSocks5, tcpServer, throughSocks5 } from "../support/tcpPeers.ts"
import type { Weft } from "../support/WeftProcess.ts"

const GATEWAY_IDENTITY = "spiffe://cluster.local/ns/istio-system/sa/eastwest"
const WAYPOINT_IDENTITY = "spiffe://cluster.local/ns/books/sa/waypoint"
const MEGABYTES = 3 * 1024 * 1024

interface Hops {
  readonly addresses: MeshAddresses
  readonly guardedVip: string
  readonly gateway: Forwarder
  readonly waypoint: Forwarder
  readonly client: Weft & { readonly meshPath: string }
  readonly server: Weft
  /** The client's mesh file, with these names for the service of the other network. */
  readonly meshOf: (names: ReadonlyArray<string>) => string
}

const shelf = (rest: Partial<Service>) => service("shelf", [], { namespace: "books", hostname: SERVICE, ...rest })

/** What the client's side knows: the server is on network `east`, behind a gateway; another service has a waypoint. */
const clientMesh =
  (addresses: MeshAddresses, hops: { readonly gateway: Forwarder; readonly waypoint: Forwarder }, guardedVip: string) =>
  (names: ReadonlyArray<string>) => {
    const far = shelf({ vips: [{ network: "", ip: ipUnsafe(addresses.vip) }], subjectAltNames: names })
    return meshFile({
      services: [
        far,
        service("guarded", [guardedVip], {
          waypoint: { ...gateway(hops.waypoint.host), hboneMtlsPort: hops.waypoint.port }
        })
      ],
      workloads: [
        workload("cart-1", [addresses.client], { serviceAccount: "cart" }),
        workload("waypoint", [hops.waypoint.host], { namespace: "books", serviceAccount: "waypoint" }),
        workload("eastwest", [hops.gateway.host], { namespace: "istio-system", serviceAccount: "eastwest" }),
        workload("shelf-1", [addresses.server], {
          namespace: "books",
          serviceAccount: "shelf",
          network: "east",
          networkGateway: { ...gateway(hops.gateway.host), hboneMtlsPort: hops.gateway.port },
          ...behind(far)
        })
      ],
      policies: []
    })
  }

/** What the server's side knows: its own workload, on network `east`. */
const serverMesh = (addresses: MeshAddresses, port: number) => {
  const own = shelf({ ports: new Map([[80, port]]) })
  return meshFile({
    services: [own],
    workloads: [
      workload("shelf-1", [addresses.server], {
        namespace: "books",
        serviceAccount: "shelf",
        network: "east",
        canonicalName: "shelf",
        clusterId: "east-1",
        ...behind(own)
      })
    ],
    policies: []
  })
}

class Story extends Context.Service<Story, Hops>()("weft/test/e2e/otherHops/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const guardedVip = loopbackAddress()
      const { ca, env } = yield* caFiles
      const leaf = (uri: string) => Effect.promise(() => ca.leaf({ uris: [uri] }))
      const echo = yield* tcpServer(addresses.server, (socket) => void socket.pipe(socket))
      const east = { ...env, NETWORK: "east", CLUSTER_ID: "east-1" }
      const server = yield* startServerSide(addresses, serverMesh(addresses, echo.port), east)
      const hops = {
        gateway: yield* testGateway(
          { host: loopbackAddress() },
          ca,
          yield* leaf(GATEWAY_IDENTITY),
          server.ports.inbound
        ),
        waypoint: yield* testWaypoint({ host: loopbackAddress() }, ca, yield* leaf(WAYPOINT_IDENTITY))
      }
      const meshOf = clientMesh(addresses, hops, guardedVip)
      const client = yield* startClientSide(addresses, meshOf([SERVER_IDENTITY]), server.ports.inbound.port, env)
      return { ...hops, addresses, guardedVip, client, meshOf, server }
    })
  )
}

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("through another hop", (it) => {
  it.effect("an application reaches a service by its waypoint, which is told what the application asked for", () =>
    Effect.gen(function* () {
      const { client, guardedVip, waypoint } = yield* Story
      const line = accessLineFrom(client, { "dst.workload": "waypoint" })
      const peer = yield* throughSocks5(client.ports.socks5, { host: guardedVip, port: 80 })
      peer.socket.end(patterned(1, 0, MEGABYTES))
      const answer = yield* Effect.promise(() => peer.ended)
      assert.isTrue(answer.equals(patterned(1, 0, MEGABYTES)))
      assert.deepStrictEqual(
        waypoint.carried.map(({ authority, peer }) => [authority, peer]),
        [[`${guardedVip}:80`, `URI:${CLIENT_IDENTITY}`]]
      )
      const { fields, level } = yield* Effect.promise(line)
      assert.strictEqual(level, "info")
      assert.strictEqual(fields["dst.addr"], `${waypoint.host}:${waypoint.port}`)
      assert.strictEqual(fields["dst.identity"], WAYPOINT_IDENTITY)
      assert.strictEqual(fields["dst.service"], "guarded.shop.svc.cluster.local")
    })
  )

  it.effect("an application reaches a workload of another network; each end knows who the other is", () =>
    Effect.gen(function* () {
      const { addresses, client, gateway, server } = yield* Story
      const authority = `${SERVICE}:80`
      const outbound = accessLineFrom(client, { "dst.hbone_addr": authority })
      const inbound = accessLineFrom(server, { "dst.hbone_addr": authority })
      const peer = yield* throughSocks5(client.ports.socks5, { host: addresses.vip, port: 80 })
      peer.socket.end(patterned(2, 0, MEGABYTES))
      const answer = yield* Effect.promise(() => peer.ended)
      assert.isTrue(answer.equals(patterned(2, 0, MEGABYTES)))
      assert.deepStrictEqual(
        gateway.carried.map(({ authority, peer }) => [authority, peer]),
        [[authority, `URI:${CLIENT_IDENTITY}`]]
      )
      const [near, far] = yield* Effect.promise(() => Promise.all([outbound(), inbound()]))
      assert.strictEqual(near.level, "info")
      assert.strictEqual(near.fields["dst.addr"], `${gateway.host}:${gateway.port}`)
      assert.strictEqual(near.fields["dst.identity"], SERVER_IDENTITY)
      assert.strictEqual(near.fields["dst.workload"], "shelf")
      assert.strictEqual(near.fields["dst.namespace"], "books")
      assert.strictEqual(near.fields["dst.cluster"], "east-1")
      assert.strictEqual(near.fields["bytes_sent"], String(MEGABYTES))
      assert.strictEqual(far.level, "info")
      assert.strictEqual(far.fields["src.identity"], CLIENT_IDENTITY)
    })
  )

  it.effect("a far end that the service does not name is refused, and the error says whom we expected", () =>
    Effect.gen(function* () {
      const { addresses, client, meshOf } = yield* Story
      const line = refusalOf(client)
      const ask = Effect.map(askSocks5(client.ports.socks5, { host: addresses.vip, port: 80 }), ({ reply }) => reply)
      Fs.writeFileSync(client.meshPath, meshOf([GATEWAY_IDENTITY]))
      // the main thread says that the file has changed before its shards know
      yield* Effect.promise(() =>
        eventually(async () => (await Effect.runPromise(Effect.scoped(ask))) !== 0, "a refusal")
      )
      const { fields } = yield* Effect.promise(line)
      assert.include(
        fields["error"],
        `expected ${GATEWAY_IDENTITY}, but the peer's certificate presents "${SERVER_IDENTITY}"`
      )
    })
  )
})

/** The first outbound line from now on that tells of a failure. */
const refusalOf = (weft: Weft) => {
  const start = weft.lines.length
  return () =>
    eventually(
      () =>
        weft.lines
          .slice(start)
          .map(parseAccessLine)
          .find((line) => line?.level === "error" && line.fields["direction"] === "outbound"),
      "a failed connection"
    )
}
