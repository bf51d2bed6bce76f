/** Outbound, from the decision to the bytes: through waypoints and gateways, by names, by load, and when the mesh changes. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { AccessLine } from "../../src/domain/connection/AccessLine.ts"
import { identityOf, type GatewayAddress, type Workload } from "../../src/domain/mesh/Workload.ts"
import { eventually } from "../support/eventually.ts"
import { type Forwarder, testGateway, testWaypoint } from "../support/hboneForwarders.ts"
import { bundleOf, serveHbone } from "../support/hboneTunnel.ts"
import { heard } from "../support/heardConduit.ts"
import { behind, gateway, service, workload } from "../support/meshes.ts"
import { FROM, outboundShard, type OutboundShardOptions } from "../support/outboundShard.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { type Resources, simpleMesh } from "../support/SimpleMesh.ts"
import { patterned } from "../support/tcpConduits.ts"
import { makeTestCa, type TestCa } from "../support/TestCa.ts"
import { tcpServer } from "../support/tcpPeers.ts"

let ca: TestCa
beforeAll(async () => {
  ca = await makeTestCa()
})

const client = workload("client", ["127.0.0.1"], { canonicalName: "client" })
const meshOf = ({ services = [], workloads = [] }: Partial<Resources>) =>
  simpleMesh({ workloads: [client, ...workloads], services, policies: [] })
const leafOf = (who: Workload) => Effect.promise(() => ca.leaf({ uris: [identityOf(who)] }))
const shardOf = (options: Omit<OutboundShardOptions, "ca"> = {}) => outboundShard({ ca, ...options })
type Shard = Effect.Success<ReturnType<typeof shardOf>>

const until = (check: () => boolean, what: string | (() => string)) => Effect.promise(() => eventually(check, what))
const fieldsOf = (line: AccessLine | undefined): Readonly<Record<string, unknown>> =>
  Object.fromEntries((line?.fields ?? []).map(([key, value]) => [key, typeof value === "object" ? value.bare : value]))
const at = (reference: GatewayAddress, { port }: Forwarder): GatewayAddress => ({ ...reference, hboneMtlsPort: port })
const ended = ({ counts }: Shard) => until(() => counts("connectionsOpen")[0] === 0, "the end of every connection")

/** Sends, ends, and answers with what came back. */
const exchange = Effect.fnUntraced(function* (shard: Shard, ip: string, port: number, bytes: Buffer) {
  const { app, fiber, outcomes } = yield* shard.open(ip, port)
  app.socket.end(bytes)
  const answer = yield* Effect.promise(() => app.ended)
  yield* Fiber.join(fiber)
  assert.deepStrictEqual(outcomes, ["reached"])
  return answer
})

describe("a service with a waypoint", () => {
  it.live("is asked of the waypoint under the address that was asked for, and both ends are logged as they were", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const vip = loopbackAddress()
      const waypoint = workload("waypoint", [ip], { serviceAccount: "waypoint" })
      const peer = yield* testWaypoint({ host: ip }, ca, yield* leafOf(waypoint))
      const shard = yield* shardOf()
      const web = service("web", [vip], { waypoint: at(gateway(ip), peer) })
      shard.setMesh(meshOf({ workloads: [waypoint], services: [web] }))
      const bytes = patterned(1, 0, 3_000_000)
      const answer = yield* exchange(shard, vip, 80, bytes)
      assert.isTrue(answer.equals(bytes))
      const asked = peer.carried[0]!
      assert.strictEqual(asked.authority, `${vip}:80`)
      assert.strictEqual(asked.peer, `URI:${identityOf(client)}`)
      assert.deepStrictEqual(
        asked.headers.map(([name]) => name),
        ["baggage", "forwarded", "traceparent"]
      )
      assert.deepInclude(asked.headers, ["forwarded", `for="127.0.0.1:${FROM.port}";host=web.shop.svc.cluster.local`])
      const fields = fieldsOf(shard.lines[0])
      assert.strictEqual(fields["dst.addr"], `${ip}:${peer.port}`)
      assert.strictEqual(fields["dst.hbone_addr"], `${vip}:80`)
      assert.strictEqual(fields["dst.service"], web.hostname)
      assert.strictEqual(fields["dst.workload"], "waypoint")
      assert.strictEqual(fields["dst.identity"], identityOf(waypoint))
      assert.strictEqual(fields["bytes_sent"], bytes.length)
      assert.strictEqual(shard.lines[0]?.level, "info")
    })
  )

  it.live("is not reached when whoever is at the waypoint's address is not the waypoint", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const vip = loopbackAddress()
      const waypoint = workload("waypoint", [ip], { serviceAccount: "waypoint" })
      const peer = yield* testWaypoint({ host: ip }, ca, yield* leafOf(workload("thief", [])))
      const shard = yield* shardOf()
      shard.setMesh(
        meshOf({ workloads: [waypoint], services: [service("web", [vip], { waypoint: at(gateway(ip), peer) })] })
      )
      const { fiber, outcomes } = yield* shard.open(vip, 80)
      yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual(outcomes, ["TlsFailed"])
      assert.lengthOf(peer.carried, 0)
      assert.deepStrictEqual(shard.counts("connectionsOpened", "connectionsFailed", "connectionsOpen"), [1, 1, 0])
    })
  )
})

/** A workload of network `east` behind that network's gateway; our own server is the far end. */
const eastern = Effect.gen(function* () {
  const ip = loopbackAddress()
  const vip = loopbackAddress()
  const remote = workload("remote", ["10.99.0.1"], { network: "east", serviceAccount: "remote" })
  const far = yield* serveHbone(yield* bundleOf(ca, identityOf(remote)))
  const eastwest = workload("eastwest", [ip], { serviceAccount: "eastwest", namespace: "istio-system" })
  const hop = yield* testGateway({ host: ip }, ca, yield* leafOf(eastwest), {
    host: far.address.ip,
    port: far.address.port
  })
  const shard = yield* shardOf({ env: { NETWORK: "" } })
  const web = service("web", [vip], { subjectAltNames: [identityOf(remote)] })
  const endpoint = { ...remote, ...behind(web), networkGateway: at(gateway(ip), hop) }
  shard.setMesh(meshOf({ workloads: [eastwest, endpoint], services: [web] }))
  const nothingLeft = until(
    () =>
      hop.open() === 0 &&
      far.sockets.size === 0 &&
      far.counts.opened === far.counts.closed &&
      shard.counts("connectionsOpen")[0] === 0 &&
      Array.from(shard.connections.live()).length === 0,
    () => JSON.stringify([hop.open(), far.sockets.size, far.counts, shard.counts("connectionsOpen")])
  )
  return { eastwest, endpoint, far, hop, ip, nothingLeft, remote, shard, vip, web }
})

describe("a service on another network", () => {
  it.live("is reached through the gateway by its name, and the far end is logged by what it says and has proved", () =>
    Effect.gen(function* () {
      const { far, hop, ip, nothingLeft, remote, shard, vip, web } = yield* eastern
      const { app, fiber } = yield* shard.open(vip, 80)
      const { ends, stream } = yield* far.next
      const server = heard(
        stream.accept({ baggage: "k8s.cluster.name=far,k8s.namespace.name=there,service.name=web" })!
      )
      app.socket.end(patterned(1, 0, 2_000_000))
      yield* server.until("eof")
      assert.isTrue(server.bytes().equals(patterned(1, 0, 2_000_000)))
      server.conduit.write(Buffer.from("the answer"), () => {})
      server.conduit.end()
      assert.strictEqual(String(yield* Effect.promise(() => app.ended)), "the answer")
      yield* Fiber.join(fiber)

      const authority = `${web.hostname}:80`
      assert.deepStrictEqual([hop.carried[0]?.authority, stream.authority], [authority, authority])
      const outer = new Map(hop.carried[0]?.headers)
      assert.strictEqual(outer.get("traceparent"), stream.header("traceparent")[0])
      assert.strictEqual(outer.get("forwarded"), stream.header("forwarded")[0])
      assert.strictEqual(outer.get("baggage"), stream.header("baggage")[0])
      assert.isFalse(outer.has("x-forwarded-network"))
      assert.deepStrictEqual(stream.header("x-forwarded-network"), [""])
      assert.strictEqual(ends.principal, identityOf(client))

      const fields = fieldsOf(shard.lines[0])
      assert.strictEqual(fields["dst.addr"], `${ip}:${hop.port}`)
      assert.strictEqual(fields["dst.hbone_addr"], authority)
      assert.strictEqual(fields["dst.service"], web.hostname)
      assert.deepStrictEqual(
        [fields["dst.workload"], fields["dst.namespace"], fields["dst.cluster"]],
        ["web", "there", "far"]
      )
      assert.strictEqual(fields["dst.identity"], identityOf(remote))
      yield* nothingLeft
    })
  )

  it.live("shares the tunnel to the gateway and no inner one", () =>
    Effect.gen(function* () {
      const { far, hop, shard, vip } = yield* eastern
      for (let index = 0; index < 3; index++) {
        yield* shard.open(vip, 80)
        void (yield* far.next).stream.accept({})
      }
      assert.deepStrictEqual([hop.tunnels(), far.counts.opened], [1, 3])
    })
  )

  it.live("refuses a far end of another name than the service's, without a word to it", () =>
    Effect.gen(function* () {
      const { eastwest, endpoint, far, nothingLeft, shard, vip, web } = yield* eastern
      const other = { ...web, subjectAltNames: [identityOf(client)] }
      shard.setMesh(meshOf({ workloads: [eastwest, endpoint], services: [other] }))
      const { app, fiber, outcomes } = yield* shard.open(vip, 80)
      app.socket.write("secret")
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual(outcomes, ["TlsFailed"])
      assert.include(error.message, identityOf(endpoint))
      assert.strictEqual(far.untaken(), 0)
      assert.include(String(fieldsOf(shard.lines[0])["error"]), `${web.hostname}:80 through `)
      yield* nothingLeft
    })
  )

  it.live.each([401, 503])("tells that the far end refused with %d", (status) =>
    Effect.gen(function* () {
      const { far, nothingLeft, shard, vip } = yield* eastern
      const { fiber, outcomes } = yield* shard.open(vip, 80)
      const { stream } = yield* far.next
      stream.refuse(status)
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).message, `http status: ${status}`)
      assert.deepStrictEqual(outcomes, ["HttpStatus"])
      yield* nothingLeft
    })
  )

  it.live("passes resets on, either way", () =>
    Effect.gen(function* () {
      const { far, nothingLeft, shard, vip } = yield* eastern
      const one = yield* shard.open(vip, 80)
      const server = heard((yield* far.next).stream.accept({})!)
      one.app.socket.write("x")
      yield* until(() => server.bytes().length === 1, "a byte")
      one.app.socket.resetAndDestroy()
      yield* server.until("Reset")
      yield* Fiber.join(one.fiber)

      const two = yield* shard.open(vip, 80)
      const cut = heard((yield* far.next).stream.accept({})!)
      cut.conduit.write(Buffer.from("x"), () => {})
      yield* Effect.promise(() => two.app.take(1))
      cut.conduit.reset()
      assert.strictEqual(yield* Effect.promise(() => two.app.closed), "reset")
      yield* Fiber.join(two.fiber)
      yield* nothingLeft
    })
  )

  it.live("fails what is under way when the gateway dies, and reaches the next gateway", () =>
    Effect.gen(function* () {
      const { far, hop, nothingLeft, shard, vip } = yield* eastern
      const one = yield* shard.open(vip, 80)
      const server = heard((yield* far.next).stream.accept({})!)
      server.conduit.write(Buffer.from("x"), () => {})
      yield* Effect.promise(() => one.app.take(1))
      hop.cut()
      assert.strictEqual(yield* Effect.promise(() => one.app.closed), "reset")
      assert.strictEqual((yield* Effect.flip(Fiber.join(one.fiber))).reason._tag, "ReceiveFailed")
      const two = yield* shard.open(vip, 80)
      heard((yield* far.next).stream.accept({})!).conduit.end()
      two.app.socket.end()
      yield* Fiber.join(two.fiber)
      yield* nothingLeft
    })
  )
})

describe("a workload that has a name and no address", () => {
  const named = workload("named", [], { hostname: "named.example.com", protocol: "TCP" })
  const web = service("web", ["10.10.0.1"], { ports: new Map([[80, 80]]) })

  it.live("is looked up, and dialled at what the name says; each connection counts", () =>
    Effect.gen(function* () {
      const echo = yield* tcpServer("127.0.0.1", (socket) => void socket.pipe(socket))
      const asked: Array<string> = []
      const shard = yield* shardOf({
        resolver: (hostname, answer) => {
          asked.push(hostname)
          setImmediate(answer, ["127.0.0.1"])
        }
      })
      const ports = new Map([[80, echo.port]])
      const own = { ...web, ports }
      shard.setMesh(meshOf({ workloads: [{ ...named, ...behind(own) }], services: [own] }))
      for (const text of ["one", "two"]) {
        assert.strictEqual(String(yield* exchange(shard, "10.10.0.1", 80, Buffer.from(text))), text)
      }
      assert.deepStrictEqual(asked, ["named.example.com"])
      assert.deepStrictEqual(shard.counts("onDemandDns"), [2])
      assert.strictEqual(fieldsOf(shard.lines[0])["dst.workload"], "named")
    })
  )

  it.live("is refused when the name has no address: turned away before it counts as opened", () =>
    Effect.gen(function* () {
      const shard = yield* shardOf()
      shard.setMesh(meshOf({ workloads: [{ ...named, ...behind(web) }], services: [web] }))
      const { fiber, outcomes } = yield* shard.open("10.10.0.1", 80)
      assert.strictEqual(
        (yield* Effect.flip(Fiber.join(fiber))).message,
        `no ip addresses were resolved for workload: ${named.uid}`
      )
      assert.deepStrictEqual(outcomes, ["NoResolvedAddresses"])
      assert.deepStrictEqual([shard.lines[0]?.level, shard.lines[0]?.message], ["warn", "connection failed"])
      assert.deepStrictEqual(shard.counts("connectionsOpened", "onDemandDns"), [0, 1])
    })
  )

  it.live("is decided anew by the mesh of the moment at which the name is known", () =>
    Effect.gen(function* () {
      const echo = yield* tcpServer("127.0.0.1", (socket) => void socket.pipe(socket))
      const answers: Array<(addresses: ReadonlyArray<string>) => void> = []
      const shard = yield* shardOf({ resolver: (_, answer) => void answers.push(answer) })
      shard.setMesh(meshOf({ workloads: [{ ...named, ...behind(web) }], services: [web] }))
      const { app, fiber } = yield* shard.open("10.10.0.1", 80)
      yield* until(() => answers.length === 1, "the question")
      const ports = new Map([[80, echo.port]])
      const moved = { ...web, ports }
      const addressed = workload("addressed", ["127.0.0.1"], { protocol: "TCP", ...behind(moved) })
      shard.setMesh(meshOf({ workloads: [addressed], services: [moved] }))
      answers[0]!(["10.255.255.1"])
      app.socket.end("to the new one")
      assert.strictEqual(String(yield* Effect.promise(() => app.ended)), "to the new one")
      yield* Fiber.join(fiber)
      assert.strictEqual(fieldsOf(shard.lines[0])["dst.workload"], "addressed")
    })
  )

  it.live("is not waited for by a connection that is ended meanwhile", () =>
    Effect.gen(function* () {
      let asked = 0
      const shard = yield* shardOf({ resolver: () => void (asked += 1) })
      shard.setMesh(meshOf({ workloads: [{ ...named, ...behind(web) }], services: [web] }))
      const { app, fiber, outcomes } = yield* shard.open("10.10.0.1", 80)
      yield* until(() => asked === 1, "the question")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(String(yield* Effect.promise(() => app.ended)), "")
      assert.deepStrictEqual(outcomes, [])
      assert.deepStrictEqual(shard.counts("connectionsOpened", "connectionsOpen"), [0, 0])
    })
  )

  it.live("gives up on a mesh that wants another name each time it is asked", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const shard = yield* shardOf({
        resolver: (hostname, answer) => {
          names.push(hostname)
          shard.setMesh(meshWanting(`n${names.length}.example.com`))
          setImmediate(answer, ["127.0.0.1"])
        }
      })
      const meshWanting = (hostname: string) =>
        meshOf({ workloads: [{ ...named, hostname, ...behind(web) }], services: [web] })
      shard.setMesh(meshWanting("n0.example.com"))
      const { fiber } = yield* shard.open("10.10.0.1", 80)
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).reason._tag, "NoResolvedAddresses")
      assert.lengthOf(names, 4)
    })
  )
})

const total = (counts: ReadonlyArray<number>) => counts.reduce((sum, count) => sum + count, 0)

describe("balancing by load", () => {
  /** Two plain servers behind one service; each keeps what it accepts. */
  const pair = Effect.fnUntraced(function* (balancing: string) {
    const ips = [loopbackAddress(), loopbackAddress()] as const
    const accepted = [0, 0]
    const first = yield* tcpServer(ips[0], () => void (accepted[0]! += 1))
    const shard = yield* shardOf({ env: { WEFT_LOAD_BALANCING: balancing } })
    yield* tcpServer(ips[1], () => void (accepted[1]! += 1), first.port)
    const web = service("web", ["10.10.0.1"], { ports: new Map([[80, first.port]]) })
    const workloads = ips.map((ip, index) => workload(`e${index}`, [ip], { protocol: "TCP", ...behind(web) }))
    shard.setMesh(meshOf({ workloads, services: [web] }))
    return { accepted, shard, uids: workloads.map(({ uid }) => uid) }
  })

  it.live("sends each connection to whoever has fewer of them, and forgets those that have ended", () =>
    Effect.gen(function* () {
      const { accepted, shard, uids } = yield* pair("least-loaded")
      const opened = []
      for (let index = 0; index < 40; index++) opened.push(yield* shard.open("10.10.0.1", 80))
      yield* until(() => total(accepted) === 40, "all connections")
      assert.deepStrictEqual(accepted, [20, 20])
      assert.deepStrictEqual(uids.map(shard.openTo.of), [20, 20])
      for (const [index, { app, fiber }] of opened.entries()) {
        if (index % 3 === 0) yield* Fiber.interrupt(fiber)
        else app.socket.resetAndDestroy()
      }
      yield* ended(shard)
      assert.strictEqual(shard.openTo.size(), 0)
    })
  )

  it.live("counts nothing of a connection that was not to be, and nothing at all when it is not asked for", () =>
    Effect.gen(function* () {
      const failing = yield* pair("least-loaded")
      failing.shard.setMesh(meshOf({ workloads: [workload("gone", ["127.0.0.1"], { protocol: "TCP" })], services: [] }))
      const { fiber } = yield* failing.shard.open("127.0.0.1", 1)
      yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(failing.shard.openTo.size(), 0)
      const { accepted, shard } = yield* pair("random")
      yield* shard.open("10.10.0.1", 80)
      yield* until(() => total(accepted) === 1, "the connection")
      assert.strictEqual(shard.openTo.size(), 0)
    })
  )
})

describe("tunnels when the mesh changes", () => {
  it.live("end with their last stream when their workload goes, and never serve who has its address now", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const old = workload("old", [ip])
      const peer = yield* testWaypoint({ host: ip }, ca, yield* leafOf(old))
      const shard = yield* shardOf({ hbonePort: peer.port })
      shard.setMesh(meshOf({ workloads: [old] }))
      const one = yield* shard.open(ip, 80)
      one.app.socket.write("one")
      yield* Effect.promise(() => one.app.text("one"))

      shard.setMesh(meshOf({ workloads: [old, workload("other", ["127.99.0.1"])] }))
      const shared = yield* shard.open(ip, 80)
      shared.app.socket.write("two")
      yield* Effect.promise(() => shared.app.text("two"))
      assert.strictEqual(shard.tunnels.opened, 1)
      shared.app.socket.end()
      yield* Fiber.join(shared.fiber)

      // the same identity at the same address: only its name is new
      shard.setMesh(meshOf({ workloads: [workload("new", [ip])] }))
      assert.deepStrictEqual(shard.tunnels, { opened: 1, closed: 0 })
      const two = yield* shard.open(ip, 80)
      two.app.socket.write("three")
      yield* Effect.promise(() => two.app.text("three"))
      assert.strictEqual(shard.tunnels.opened, 2)
      // the old one still serves who is in it
      one.app.socket.end("four")
      assert.strictEqual(String(yield* Effect.promise(() => one.app.ended)), "four")
      yield* Fiber.join(one.fiber)
      yield* until(() => shard.tunnels.closed === 1, "the end of the old tunnel")
      yield* until(() => peer.tunnels() === 1, "its end at the peer")

      two.app.socket.end()
      yield* Fiber.join(two.fiber)
      shard.setMesh(meshOf({}))
      yield* until(() => peer.tunnels() === 0 && shard.tunnels.closed === 2, "the end of the idle one")
    })
  )
})
