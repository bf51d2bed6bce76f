/** The real program at both ends of a tunnel in a tunnel: the end of either direction, and to whom it says nothing. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Service } from "../../src/domain/mesh/Service.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { type Forwarder, testGateway } from "../support/hboneForwarders.ts"
import { meshEdits, type Resources } from "../support/meshEdits.ts"
import { behind, gateway, meshFile, policy, service, workload } from "../support/meshes.ts"
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
import { loopbackAddress } from "../support/ownAddress.ts"
import {
  connect,
  SOCKS5_GREETING,
  socks5Request,
  tcpServer,
  type TcpServer,
  throughSocks5
} from "../support/tcpPeers.ts"
import type { Weft } from "../support/WeftProcess.ts"

const GATEWAY_IDENTITY = "spiffe://cluster.local/ns/istio-system/sa/eastwest"

interface Given {
  readonly vip: string
  /** Its accepted connections are the test's. */
  readonly application: TcpServer
  readonly gateway: Forwarder
  readonly client: Weft
  readonly server: Weft
  /** The names that the client's mesh has for the service. */
  readonly nameFar: (names: ReadonlyArray<string>) => Effect.Effect<void>
  /** The policies of the server's mesh: one against everybody, or none. */
  readonly denyAtFar: (deny: boolean) => Effect.Effect<void>
}

const FAR = { namespace: "books", serviceAccount: "shelf", network: "east", clusterId: "east-1" }

const shelfAt = (vips: ReadonlyArray<string>, rest: Partial<Service>) =>
  service("shelf", vips, { namespace: "books", hostname: SERVICE, ...rest })

const clientMesh = (
  { client, server, vip }: MeshAddresses,
  hop: Forwarder,
  subjectAltNames: ReadonlyArray<string>
): Resources => {
  const shelf = shelfAt([vip], { subjectAltNames })
  const networkGateway = { ...gateway(hop.host), hboneMtlsPort: hop.port }
  return {
    services: [shelf],
    workloads: [
      workload("cart-1", [client], { serviceAccount: "cart" }),
      workload("eastwest", [hop.host], { namespace: "istio-system", serviceAccount: "eastwest" }),
      workload("shelf-1", [server], { ...FAR, networkGateway, ...behind(shelf) })
    ]
  }
}

const serverMesh = ({ server }: MeshAddresses, port: number, deny: boolean): Resources => {
  const shelf = shelfAt([], { ports: new Map([[80, port]]) })
  return {
    services: [shelf],
    workloads: [workload("shelf-1", [server], { ...FAR, canonicalName: "the-shelf", ...behind(shelf) })],
    policies: deny ? [policy("nobody", { namespace: "books", action: "Deny", rules: [[]] })] : []
  }
}

class Story extends Context.Service<Story, Given>()("weft/test/e2e/farNetwork/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const application = yield* tcpServer(addresses.server)
      const east = { ...env, NETWORK: "east", CLUSTER_ID: "east-1" }
      const server = yield* startServerSide(addresses, meshFile(serverMesh(addresses, application.port, false)), east)
      const { inbound } = server.ports
      const leaf = yield* Effect.promise(() => ca.leaf({ uris: [GATEWAY_IDENTITY] }))
      const hop = yield* testGateway({ host: loopbackAddress() }, ca, leaf, inbound)
      const meshOf = (names: ReadonlyArray<string>) => clientMesh(addresses, hop, names)
      const client = yield* startClientSide(addresses, meshFile(meshOf([SERVER_IDENTITY])), inbound.port, env)
      const [editClient, editServer] = [yield* meshEdits(client), yield* meshEdits(server, FAR.network)]
      return {
        vip: addresses.vip,
        application,
        gateway: hop,
        client,
        server,
        nameFar: (names) => editClient(meshOf(names)),
        denyAtFar: (deny) => editServer(serverMesh(addresses, application.port, deny))
      }
    })
  )
}

/** An application that speaks before it knows whether anybody listens: it is refused, and hears no more. */
const isRefused = Effect.fnUntraced(function* (text: string) {
  const { client, vip } = yield* Story
  const peer = yield* connect(client.ports.socks5)
  peer.socket.write(Buffer.concat([SOCKS5_GREETING, socks5Request({ host: vip, port: 80 }), Buffer.from(text)]))
  yield* Effect.promise(async () => {
    await peer.take(2)
    assert.strictEqual((await peer.take(10))[1], GENERAL_FAILURE)
    assert.strictEqual(String(await peer.ended), "")
  })
})

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("a workload of another network", (it) => {
  it.effect("may end first, and still hears its client out", () =>
    Effect.gen(function* () {
      const { application, client, server, vip } = yield* Story
      const outbound = accessLineFrom(client, { "dst.hbone_addr": `${SERVICE}:80` })
      const inbound = accessLineFrom(server, { "dst.hbone_addr": `${SERVICE}:80` })
      const near = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      near.socket.write("hello")
      yield* Effect.promise(async () => {
        const far = await application.accept()
        assert.strictEqual(await far.text("hello"), "hello")
        far.socket.end("that is all from me")
        assert.strictEqual(String(await near.ended), "that is all from me")
        near.socket.write("I am")
        assert.strictEqual(await far.text("I am"), "I am")
        near.socket.end(" not done")
        assert.strictEqual(String(await far.ended), " not done")
      })
      const [from, to] = yield* Effect.promise(() => Promise.all([outbound(), inbound()]))
      assert.strictEqual(from.level, "info")
      assert.deepInclude(from.fields, {
        "dst.workload": "the-shelf",
        "dst.namespace": "books",
        "dst.cluster": "east-1",
        "dst.identity": SERVER_IDENTITY,
        bytes_sent: "18",
        bytes_recv: "19"
      })
      assert.strictEqual(to.level, "info")
      assert.deepInclude(to.fields, { "src.identity": CLIENT_IDENTITY, bytes_recv: "18", bytes_sent: "19" })
    })
  )

  it.effect.each([
    ["another name", [GATEWAY_IDENTITY]],
    ["no name at all", []]
  ] as const)("for which the service has %s hears nothing of what the application says", ([, names]) =>
    Effect.gen(function* () {
      const { application, client, gateway, nameFar, server, vip } = yield* Story
      yield* nameFar(names)
      const authority = { "dst.hbone_addr": `${SERVICE}:80` }
      const [refused, asked, heard] = [accessLineFrom(client, authority), gateway.carried.length, server.lines.length]
      yield* isRefused("a secret")
      assert.strictEqual(gateway.carried.length, asked + 1)
      const { fields, level } = yield* Effect.promise(refused)
      assert.strictEqual(level, "error")
      assert.match(fields["error"] ?? "", /^tls error: /)
      assert.notProperty(fields, "dst.workload")

      yield* nameFar([SERVER_IDENTITY])
      const inbound = accessLineFrom(server, authority)
      const near = yield* throughSocks5(client.ports.socks5, { host: vip, port: 80 })
      near.socket.end("a word")
      yield* Effect.promise(async () => {
        // the first that has come to the application
        const far = await application.accept()
        assert.strictEqual(String(await far.ended), "a word")
        far.socket.end()
        await inbound()
      })
      const streams = server.lines.slice(heard).filter((each) => each.includes("dst.hbone_addr"))
      assert.lengthOf(streams, 1)
    })
  )

  it.effect("that does not let us in is told nothing more, and both logs say why", () =>
    Effect.gen(function* () {
      const { client, denyAtFar, server } = yield* Story
      yield* denyAtFar(true)
      const outbound = accessLineFrom(client, { "dst.hbone_addr": `${SERVICE}:80` })
      const inbound = accessLineFrom(server, { "dst.hbone_addr": `${SERVICE}:80` })
      yield* isRefused("a secret")
      const [from, to] = yield* Effect.promise(() => Promise.all([outbound(), inbound()]))
      assert.deepStrictEqual([from.level, to.level], ["error", "error"])
      assert.strictEqual(from.fields["error"], "http status: 401")
      assert.strictEqual(
        to.fields["error"],
        "connection closed due to policy rejection: explicitly denied by: books/nobody"
      )
      assert.strictEqual(to.fields["src.identity"], CLIENT_IDENTITY)
    })
  )
})

/** SOCKS5's reply code. */
const GENERAL_FAILURE = 1
