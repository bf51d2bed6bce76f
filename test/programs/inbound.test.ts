/** One CONNECT stream, from its headers to the application's socket: who is let in, and what the application is told. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { AccessLine } from "../../src/domain/connection/AccessLine.ts"
import type { SocketAddress } from "../../src/domain/Address.ts"
import { identityOf, type Workload } from "../../src/domain/mesh/Workload.ts"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import { decodeProxyHeader } from "../../src/domain/wire/ProxyProtocol.ts"
import { CLIENT, inboundShard, incoming, localWorkload, PEER, policyOf, settledMesh } from "../support/inboundShard.ts"
import { gateway, service, workload } from "../support/meshes.ts"
import { eventually } from "../support/eventually.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { tcpServer } from "../support/tcpPeers.ts"

const meshOf = (local: Workload, policies: ReadonlyArray<Policy> = []) =>
  settledMesh({ workloads: [local], services: [], policies })
const fieldOf = (line: AccessLine | undefined, key: string) => line?.fields.find(([name]) => name === key)?.[1]
const principal = (text: string): Policy["rules"] => [
  [[{ principals: { any: [{ _tag: "Exact", value: text }], none: [], notUnderstood: false } }]]
]
const port = (number: number): Policy["rules"] => [
  [[{ destinationPorts: { any: [number], none: [], notUnderstood: false } }]]
]
const OUTCOMES = [
  "connectionsOpened",
  "connectionsClosed",
  "connectionsFailed",
  "connectionsOpen",
  "streamsOpen"
] as const

describe("a stream that policies do not allow", () => {
  it.effect.each<[string, Policy, string]>([
    ["a DENY that matches", policyOf("nobody", "Deny"), "explicitly denied by: shop/nobody"],
    [
      "only an ALLOW for another",
      policyOf("others", "Allow", { rules: principal("cluster.local/ns/shop/sa/other") }),
      "allow policies exist, but none allowed"
    ]
  ])(
    "by %s is answered 401, logged in full, counted as DENY, and its application never hears of it",
    ([, given, why]) =>
      Effect.gen(function* () {
        const ip = loopbackAddress()
        const dialled: Array<SocketAddress> = []
        const shard = yield* inboundShard({ ip, onDial: (to) => dialled.push(to) })
        shard.setMesh(meshOf(localWorkload(ip), [given]))
        const { answers, stream } = incoming(`${ip}:80`)
        const error = yield* Effect.flip(Effect.scoped(shard.inbound(stream, shard.ends)))
        assert.strictEqual(error.reason._tag, "PolicyRejected")
        assert.deepStrictEqual(answers, [401, "cut"])
        assert.deepStrictEqual(dialled, [])
        assert.deepStrictEqual(shard.counts(...OUTCOMES), [1, 1, 1, 0, 0])
        assert.deepStrictEqual([...shard.connections.live()], [])
        const [line] = shard.lines
        assert.deepStrictEqual([shard.lines.length, line?.level, line?.message], [1, "error", "connection complete"])
        assert.strictEqual(fieldOf(line, "error"), `connection closed due to policy rejection: ${why}`)
        assert.strictEqual(fieldOf(line, "src.identity"), CLIENT)
        assert.strictEqual(fieldOf(line, "dst.workload"), "web")
      })
  )

  it.effect("is judged by where its bytes would go: our address, at the tunnel's port", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const shard = yield* inboundShard({ ip })
      const local = localWorkload(ip, { applicationTunnel: { protocol: "NONE", port: 15088 } })
      shard.setMesh(meshOf(local, [policyOf("tunnel", "Deny", { rules: port(15088) })]))
      const { answers, stream } = incoming("192.0.2.1:80")
      yield* Effect.flip(Effect.scoped(shard.inbound(stream, shard.ends)))
      assert.deepStrictEqual(answers, [401, "cut"])
      shard.setMesh(meshOf(local, [policyOf("asked", "Deny", { rules: port(80) })]))
      const other = incoming("192.0.2.1:80")
      yield* Effect.flip(Effect.scoped(shard.inbound(other.stream, shard.ends)))
      assert.deepStrictEqual(other.answers, [503, "cut"], "let in, and nobody listens")
    })
  )

  it.effect("is in the registry before it is judged, so that no change in between is missed", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const shard = yield* inboundShard({ ip })
      const mesh = meshOf(localWorkload(ip), [policyOf("nobody", "Deny")])
      let registered = -1
      shard.setMesh({
        ...mesh,
        policiesOf: (of) => {
          registered = [...shard.connections.live()].length
          return mesh.policiesOf(of)
        }
      })
      yield* Effect.flip(Effect.scoped(shard.inbound(incoming(`${ip}:80`).stream, shard.ends)))
      assert.strictEqual(registered, 1)
    })
  )
})

describe("a stream that is let in", () => {
  it.live("by its principal reaches the application", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const app = yield* tcpServer(ip)
      const shard = yield* inboundShard({ ip })
      const allow = policyOf("cart", "Allow", { rules: principal("cluster.local/ns/shop/sa/cart") })
      shard.setMesh(meshOf(localWorkload(ip), [allow]))
      const { answers, client, stream } = incoming(`${ip}:${app.port}`)
      const fiber = yield* Effect.forkChild(Effect.scoped(shard.inbound(stream, shard.ends)))
      client.end("hello")
      const peer = yield* Effect.promise(app.accept)
      assert.strictEqual(String(yield* Effect.promise(() => peer.ended)), "hello")
      peer.socket.end("world")
      assert.strictEqual(yield* Effect.promise(() => textFrom(client)), "world")
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
      assert.strictEqual(answers[0], 200)
      assert.deepStrictEqual(shard.counts("bytesReceived", "bytesSent"), [5, 5])
    })
  )

  it.live("and then breaks before the 200 is answered once, with 503", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const shard = yield* inboundShard({ ip })
      const { answers, stream } = incoming(`${ip}:1`)
      yield* Effect.flip(Effect.scoped(shard.inbound(stream, shard.ends)))
      assert.deepStrictEqual(answers, [503, "cut"])
    })
  )
})

describe("a stream that was let in and is not allowed any more", () => {
  it.live("is cut, in the log a change of policy; it was answered before", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const app = yield* tcpServer(ip)
      const shard = yield* inboundShard({ ip })
      const { answers, stream } = incoming(`${ip}:${app.port}`)
      const fiber = yield* Effect.forkChild(Effect.scoped(shard.inbound(stream, shard.ends)))
      const peer = yield* Effect.promise(app.accept)
      yield* Effect.promise(() => eventually(() => answers.length === 1, "the 200"))
      shard.setMesh(meshOf(localWorkload(ip), [policyOf("nobody", "Deny")]))
      yield* shard.connections.rejudge
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).reason._tag, "PolicyChanged")
      assert.deepStrictEqual(answers, [200, "cut"])
      assert.strictEqual(yield* Effect.promise(() => peer.closed), "reset")
      assert.strictEqual(fieldOf(shard.lines[0], "error"), "connection closed due to policy change")
      assert.deepStrictEqual(shard.counts(...OUTCOMES), [1, 1, 1, 0, 0])
    })
  )
})

describe("an application tunnel", () => {
  const story = Effect.fnUntraced(function* (
    tunnel: NonNullable<Workload["applicationTunnel"]>["protocol"],
    { authority, env = {}, listen }: { authority?: string; env?: Record<string, string>; listen: "loopback" | "own" }
  ) {
    const ip = loopbackAddress()
    const app = yield* tcpServer(listen === "own" ? ip : "127.0.0.1")
    const shard = yield* inboundShard({ ip, env })
    const tunnelled = localWorkload(ip, { applicationTunnel: { protocol: tunnel, port: app.port } })
    const shop = service("shop", ["10.96.0.1"])
    shard.setMesh(settledMesh({ workloads: [tunnelled], services: [shop], policies: [] }))
    const { client, stream } = incoming(authority ?? `${ip}:80`)
    const fiber = yield* Effect.forkChild(Effect.scoped(shard.inbound(stream, shard.ends)))
    client.end("hello")
    const peer = yield* Effect.promise(app.accept)
    const received = yield* Effect.promise(() => peer.ended)
    peer.socket.end()
    yield* Effect.promise(() => textFrom(client))
    yield* Fiber.join(fiber)
    return { ip, received, shard }
  })

  it.live.each([
    ["on loopback", "loopback", {}],
    ["at its address, with LOCALHOST_APP_TUNNEL=false", "own", { LOCALHOST_APP_TUNNEL: "false" }]
  ] as const)(
    "of PROXY, %s: the header, with who and what for, then the client's bytes; ours do not count",
    ([, listen, env]) =>
      Effect.gen(function* () {
        const { ip, received, shard } = yield* story("PROXY", { listen, env })
        const step = decodeProxyHeader(received)
        assert.strictEqual(step._tag, "Done")
        if (step._tag !== "Done") return
        assert.deepStrictEqual(step.header, {
          addresses: { source: PEER, destination: { ip: shard.ends.local.ip, port: 80 } },
          identity: CLIENT
        })
        assert.strictEqual(step.header.addresses?.destination.ip, ip)
        assert.strictEqual(String(received.subarray(step.consumed)), "hello")
        assert.deepStrictEqual(shard.counts("bytesReceived", "bytesSent"), [5, 0])
        assert.strictEqual(fieldOf(shard.lines[0], "bytes_recv"), 5)
      })
  )

  it.live("of PROXY, for a service by name: its VIP, with the service's port", () =>
    Effect.gen(function* () {
      const { received } = yield* story("PROXY", { listen: "loopback", authority: "shop.shop.svc.cluster.local:80" })
      const step = decodeProxyHeader(received)
      assert.deepStrictEqual(step._tag === "Done" && step.header.addresses?.destination, {
        ip: "10.96.0.1" as SocketAddress["ip"],
        port: 80
      })
    })
  )

  it.live("of NONE: the client's bytes, at the tunnel's port of the workload's own address", () =>
    Effect.gen(function* () {
      const { received } = yield* story("NONE", { listen: "own" })
      assert.strictEqual(String(received), "hello")
    })
  )

  it.live("is told of the client only after the client was told 200", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const app = yield* tcpServer("127.0.0.1", (socket) => void socket.resume().end())
      const { answers, client, stream } = incoming(`${ip}:80`)
      const before: Array<unknown> = []
      const shard = yield* inboundShard({ ip, onWrite: () => before.push([...answers]) })
      shard.setMesh(meshOf(localWorkload(ip, { applicationTunnel: { protocol: "PROXY", port: app.port } })))
      const fiber = yield* Effect.forkChild(Effect.scoped(shard.inbound(stream, shard.ends)))
      client.end()
      yield* Effect.promise(() => textFrom(client))
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(before, [[200]])
    })
  )
})

describe("a waypoint", () => {
  it.live("is reached with the address of the service before which it stands", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const app = yield* tcpServer(ip)
      const shard = yield* inboundShard({ ip })
      const shop = service("shop", ["10.96.0.1"], { waypoint: gateway(ip) })
      const local = localWorkload(ip)
      shard.setMesh(settledMesh({ workloads: [local], services: [shop], policies: [] }))
      const { answers, client, stream } = incoming(`10.96.0.1:${app.port}`)
      const fiber = yield* Effect.forkChild(Effect.scoped(shard.inbound(stream, shard.ends)))
      client.end("hello")
      const peer = yield* Effect.promise(app.accept)
      assert.strictEqual(String(yield* Effect.promise(() => peer.ended)), "hello")
      peer.socket.end()
      yield* Effect.promise(() => textFrom(client))
      yield* Fiber.join(fiber)
      assert.strictEqual(answers[0], 200)
      const stranger = incoming("10.96.0.2:80")
      yield* Effect.flip(Effect.scoped(shard.inbound(stranger.stream, shard.ends)))
      assert.deepStrictEqual(stranger.answers, [400, "cut"])
      assert.strictEqual(fieldOf(shard.lines.at(-1), "error"), `ip mismatch: ${ip} != 10.96.0.2`)
      assert.strictEqual(shard.lines.at(-1)?.level, "warn")
    })
  )
})

describe("a connection's judge", () => {
  const ip = "127.0.0.9"
  const local = localWorkload(ip)
  const judged = { source: PEER, destination: { ip: local.ips[0]!, port: 80 }, identity: CLIENT }
  const reasonOf = (error: { readonly reason: { readonly _tag: string } } | undefined) => error?.reason._tag

  it.effect("judges once for the same policies, however often it is asked, and again for others", () =>
    Effect.gen(function* () {
      const shard = yield* inboundShard({ ip, policyLog: true })
      const allow = policyOf("cart", "Allow", { rules: principal("cluster.local/ns/shop/sa/cart") })
      shard.setMesh(meshOf(local, [allow]))
      const authorise = shard.authorise(judged)
      assert.isUndefined(authorise())
      assert.isUndefined(authorise())
      assert.lengthOf(shard.policyLines, 1)
      // the workload changed, and what applies to it did not
      const same = meshOf(local, [allow])
      const policies = same.policiesOf(local)
      shard.setMesh({ ...same, policiesOf: () => policies, localWorkload: () => ({ ...local, capacity: 7 }) })
      assert.isUndefined(authorise())
      assert.isUndefined(authorise())
      assert.lengthOf(shard.policyLines, 2)
      shard.setMesh(meshOf(local, [allow, policyOf("nobody", "Deny")]))
      assert.strictEqual(reasonOf(authorise()), "PolicyRejected")
      assert.strictEqual(reasonOf(authorise()), "PolicyRejected", "a denial is not taken for an answer known")
    })
  )

  it.effect("goes by the policies that the workload names now, and by whether it is there at all", () =>
    Effect.gen(function* () {
      const shard = yield* inboundShard({ ip })
      const attached = policyOf("attached", "Deny", { scope: "WorkloadSelector" })
      shard.setMesh(meshOf(local, [attached]))
      const authorise = shard.authorise(judged)
      assert.isUndefined(authorise())
      shard.setMesh(meshOf({ ...local, authorizationPolicies: [attached.key] }, [attached]))
      assert.strictEqual(reasonOf(authorise()), "PolicyRejected")
      shard.setMesh(meshOf(workload("another", ["127.0.0.8"])))
      assert.strictEqual(reasonOf(authorise()), "UnknownSourceWorkload")
    })
  )

  it.effect(
    "says what each policy decided, of which connection, to whoever reads it, and else works it out for nobody",
    () =>
      Effect.gen(function* () {
        const policies = [policyOf("trial", "Deny", { dryRun: true }), policyOf("nobody", "Deny")]
        for (const policyLog of [true, false]) {
          const shard = yield* inboundShard({ ip, policyLog })
          shard.setMesh(meshOf(local, policies))
          assert.strictEqual(reasonOf(shard.authorise(judged)()), "PolicyRejected")
          const ends = "src.addr=127.0.0.77:40123 dst.addr=127.0.0.9:80"
          assert.deepStrictEqual(
            shard.policyLines,
            policyLog
              ? [`dry-run: deny policy match policy=shop/trial ${ends}`, `deny policy match policy=shop/nobody ${ends}`]
              : []
          )
        }
      })
  )

  it.effect("takes the peer for who its certificate says, and nobody for a peer without one", () =>
    Effect.gen(function* () {
      const shard = yield* inboundShard({ ip })
      const cart = identityOf(workload("cart", [], { serviceAccount: "cart" }))
      shard.setMesh(meshOf(local, [policyOf("cart", "Allow", { rules: principal(cart.replace("spiffe://", "")) })]))
      assert.isUndefined(shard.authorise(judged)())
      const other = identityOf(workload("x", [], { serviceAccount: "other" }))
      assert.strictEqual(reasonOf(shard.authorise({ ...judged, identity: other })()), "PolicyRejected")
      assert.strictEqual(reasonOf(shard.authorise({ ...judged, identity: undefined })()), "PolicyRejected")
    })
  )
})

const textFrom = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  let text = ""
  for await (const chunk of stream) text += String(chunk)
  return text
}
