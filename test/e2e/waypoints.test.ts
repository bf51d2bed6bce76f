/**
 * Waypoints in the way of the real program: named by hostname, of a service and of a workload; missing; and as a workload
 * of weft's own, whose server is told by the PROXY protocol what was asked for and by whom.
 */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ipUnsafe } from "../../src/domain/Address.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"
import { decodeProxyHeader, type ProxyHeader } from "../../src/domain/wire/ProxyProtocol.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { type Forwarder, testWaypoint } from "../support/hboneForwarders.ts"
import { ask, hboneClient } from "../support/hbonePeers.ts"
import { meshEdits, type Resources } from "../support/meshEdits.ts"
import { behind, gateway, meshFile, service, workload } from "../support/meshes.ts"
import { caFiles, CLIENT_IDENTITY, startClientSide } from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { askSocks5, type Peer, tcpServer, type TcpServer, throughSocks5 } from "../support/tcpPeers.ts"
import type { Pair, TestCa } from "../support/TestCa.ts"
import { startWeft, type Weft } from "../support/WeftProcess.ts"

const GATE_IDENTITY = "spiffe://cluster.local/ns/shop/sa/gate"
const GATE_HOSTNAME = "gate.shop.svc.cluster.local"

/** Who is where. `pod` is whom the waypoint stands before; the other VIPs are of services that it has to do with, or not. */
const places = () => ({
  cart: loopbackAddress(),
  gate: loopbackAddress(),
  pod: loopbackAddress(),
  guardedVip: loopbackAddress(),
  danglingVip: loopbackAddress(),
  othersVip: loopbackAddress()
})

interface Given {
  readonly at: ReturnType<typeof places>
  readonly ca: TestCa
  readonly client: Weft
  readonly clientLeaf: Pair
  /** The waypoint's. */
  readonly gate: Weft
  /** What is said of the waypoint, changed while it runs. */
  readonly editGate: (rest: Partial<Workload>) => Effect.Effect<void>
  /** The waypoint's own server, behind its application tunnel. */
  readonly server: TcpServer
  /** What the pod gets, past the waypoint. */
  readonly pod: Forwarder
}

/** `hbonePort` is where the waypoint is; `gate` is what else is said of it. */
const meshOf = (at: Given["at"], hbonePort: number, gate: Partial<Workload>): Resources => {
  const byHostname = (hostname: string): GatewayAddress => ({
    destination: { _tag: "Hostname", namespace: "shop", hostname },
    hboneMtlsPort: 15008
  })
  const gates = service("gate", [], { hostname: GATE_HOSTNAME, ports: new Map([[15008, hbonePort]]) })
  const dangling = service("dangling", [at.danglingVip], { waypoint: byHostname("nowhere.shop.svc.cluster.local") })
  return {
    services: [
      gates,
      dangling,
      service("guarded", [at.guardedVip], { waypoint: byHostname(GATE_HOSTNAME) }),
      service("others", [at.othersVip], { waypoint: gateway(at.pod) })
    ],
    workloads: [
      workload("cart-1", [at.cart], { serviceAccount: "cart" }),
      workload("gate-1", [at.gate], { serviceAccount: "gate", ...behind(gates), ...gate }),
      workload("pod", [at.pod], {
        waypoint: { ...gateway(at.gate), hboneMtlsPort: hbonePort },
        ...behind(dangling)
      })
    ]
  }
}

class Story extends Context.Service<Story, Given>()("weft/test/e2e/waypoints/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const at = places()
      const { ca, env } = yield* caFiles
      const leaf = (uri: string) => Effect.promise(() => ca.leaf({ uris: [uri] }))
      // on loopback itself, as an application has to be that trusts a PROXY header
      const server = yield* tcpServer("127.0.0.1")
      const tunnel: Partial<Workload> = { applicationTunnel: { protocol: "PROXY", port: server.port } }
      const gate = yield* startWeft({
        workload: "shop/gate-1/gate",
        // its own HBONE port is not known yet, and means nothing to it
        mesh: meshFile(meshOf(at, 15008, tunnel)),
        bind: at.gate,
        env: { ZTUNNEL_WORKER_THREADS: "1", ...env }
      })
      const { port } = gate.ports.inbound
      const pod = yield* testWaypoint(
        { host: at.pod, port },
        ca,
        yield* leaf("spiffe://cluster.local/ns/shop/sa/default")
      )
      const mesh = meshFile(meshOf(at, port, tunnel))
      const addresses = { client: at.cart, server: at.pod, vip: at.guardedVip }
      const client = yield* startClientSide(addresses, mesh, port, env)
      const apply = yield* meshEdits(gate)
      const editGate = (rest: Partial<Workload>) => apply(meshOf(at, port, rest))
      return { at, ca, client, clientLeaf: yield* leaf(CLIENT_IDENTITY), gate, editGate, server, pod }
    })
  )
}

/** The PROXY header with which the connection begins. */
const headerOf = async (peer: Peer): Promise<ProxyHeader> => {
  let bytes = Buffer.alloc(0)
  while (true) {
    const step = decodeProxyHeader(bytes)
    if (step._tag === "Done") return step.header
    if (step._tag === "Invalid") throw new Error(step.detail)
    bytes = Buffer.concat([bytes, await peer.take(1)])
  }
}

const said = "hello, whoever you are"

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("through a waypoint of weft's own", (it) => {
  const asked = [
    ["a service whose waypoint is named by hostname", "guardedVip"],
    ["a workload that has a waypoint", "pod"]
  ] as const
  for (const [what, where] of asked) {
    it.effect(`goes what an application says to ${what}; the waypoint's server hears for whom and by whom`, () =>
      Effect.gen(function* () {
        const { at, client, gate, pod, server } = yield* Story
        const authority = `${at[where]}:80`
        const outbound = accessLineFrom(client, { "dst.hbone_addr": authority })
        const inbound = accessLineFrom(gate, { "dst.hbone_addr": authority })
        const application = yield* throughSocks5(client.ports.socks5, { host: at[where], port: 80 })
        application.socket.end(said)
        yield* Effect.promise(async () => {
          const heard = await server.accept()
          const { addresses, identity } = await headerOf(heard)
          assert.deepStrictEqual(addresses?.destination, { ip: ipUnsafe(at[where]), port: 80 })
          assert.strictEqual(identity, CLIENT_IDENTITY)
          assert.strictEqual(String(await heard.ended), said)
          heard.socket.end("and to you")
          assert.strictEqual(String(await application.ended), "and to you")
        })
        const [near, far] = yield* Effect.promise(() => Promise.all([outbound(), inbound()]))
        assert.deepStrictEqual([near.level, far.level], ["info", "info"])
        assert.deepInclude(near.fields, {
          "dst.addr": `${at.gate}:${gate.ports.inbound.port}`,
          "dst.workload": "gate-1",
          "dst.identity": GATE_IDENTITY
        })
        assert.strictEqual(far.fields["src.identity"], CLIENT_IDENTITY)
        // what the header takes is nobody's traffic
        assert.strictEqual(far.fields["bytes_recv"], String(said.length))
        assert.strictEqual(pod.tunnels(), 0)
      })
    )
  }

  it.effect("that is not there goes nothing, and nothing goes past it", () =>
    Effect.gen(function* () {
      const { at, client, pod } = yield* Story
      const line = accessLineFrom(client, { "dst.addr": `${at.danglingVip}:80` })
      const { peer, reply } = yield* askSocks5(client.ports.socks5, { host: at.danglingVip, port: 80 })
      assert.strictEqual(reply, GENERAL_FAILURE)
      yield* Effect.promise(() => peer.ended)
      const { fields, level, message } = yield* Effect.promise(line)
      assert.deepStrictEqual([level, message], ["warn", "connection failed"])
      assert.strictEqual(
        fields["error"],
        "unknown waypoint: waypoint shop/nowhere.shop.svc.cluster.local:15008 not found"
      )
      assert.deepStrictEqual([pod.tunnels(), pod.carried.length], [0, 0])
    })
  )

  it.effect("without an application tunnel goes what it is the waypoint of, and all else is answered 400", () =>
    Effect.gen(function* () {
      const { at, ca, clientLeaf, editGate, gate } = yield* Story
      yield* editGate({})
      const application = yield* tcpServer(at.gate, (socket) => void socket.pipe(socket))
      const session = yield* hboneClient(gate.ports.inbound, ca, clientLeaf)
      const connect = (host: string) =>
        ask(session, { ":method": "CONNECT", ":authority": `${host}:${application.port}` })
      yield* Effect.promise(async () => {
        for (const own of [at.guardedVip, at.pod, at.gate]) {
          const { headers, stream } = await connect(own)
          assert.strictEqual(headers[":status"], 200, own)
          stream.end(said)
          let echoed = ""
          for await (const chunk of stream) echoed += String(chunk)
          assert.strictEqual(echoed, said)
        }
        for (const strange of [at.othersVip, at.cart, "192.0.2.1"]) {
          const line = accessLineFrom(gate, { error: `ip mismatch: ${at.gate} != ${strange}` })
          assert.strictEqual((await connect(strange)).headers[":status"], 400, strange)
          assert.strictEqual((await line()).level, "warn")
        }
      })
    })
  )
})

/** SOCKS5's reply code. */
const GENERAL_FAILURE = 1
