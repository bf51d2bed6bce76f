/**
 * A tunnel in a stream of another, for real on loopback: our client, a gateway that hands bytes on, and our server as the
 * far end. What one layer promises, both together must: every byte, ends and resets as they were meant, and nothing left.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { ipUnsafe, type SocketAddress } from "../../../src/domain/Address.ts"
import { formatIdentity, type Spiffe } from "../../../src/domain/Identity.ts"
import { connectFar, type FarEnd } from "../../../src/layers/hbone/DoubleHbone.ts"
import { clientOptions } from "../../../src/layers/identity/TlsContexts.ts"
import type { Conduit } from "../../../src/layers/os/Conduit.ts"
import { eventually } from "../../support/eventually.ts"
import { testGateway } from "../../support/hboneForwarders.ts"
import { bundleOf, CLIENT, HTTP2, SERVER, serveHbone, TLS13, tunnelTo } from "../../support/hboneTunnel.ts"
import { heard } from "../../support/heardConduit.ts"
import { listenTcp, type Target } from "../../support/rawTcp.ts"
import { patterned } from "../../support/tcpConduits.ts"
import { makeTestCa, type TestCa } from "../../support/TestCa.ts"

let ca: TestCa
beforeAll(async () => {
  ca = await makeTestCa()
})

const GATEWAY = formatIdentity({ trustDomain: "cluster.local", namespace: "istio-system", serviceAccount: "eastwest" })
const OTHER = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "other" })
const AUTHORITY = "server.shop.svc.cluster.local:80"

/** A tunnel to a gateway behind which `to` is. */
const throughGateway = Effect.fnUntraced(function* (to: Target) {
  const leaf = yield* Effect.promise(() => ca.leaf({ uris: [GATEWAY] }))
  const gateway = yield* testGateway({ host: "127.0.0.1" }, ca, leaf, to)
  const bundle = yield* bundleOf(ca, CLIENT)
  const address: SocketAddress = { ip: ipUnsafe(gateway.host), port: gateway.port }
  const outer = yield* tunnelTo(address, bundle, { accepted: [GATEWAY] })
  const farEnd = (identities: ReadonlyArray<Spiffe>): FarEnd => ({
    peer: AUTHORITY,
    identities,
    tls: clientOptions(bundle, TLS13, identities),
    http2: HTTP2,
    maxStreams: 100,
    handshakeTimeoutMs: 20_000
  })
  /** A connection of its own scope: both tunnels' streams. */
  const open = Effect.fnUntraced(function* (rest: Partial<FarEnd> = {}, identities = [SERVER]) {
    const own = yield* Scope.fork(yield* Effect.scope)
    const layers: { outer?: Duplex } = {}
    const connecting = Effect.gen(function* () {
      const stream = yield* outer.connect({ authority: AUTHORITY, headers: { traceparent: "one" } })
      layers.outer = stream.duplex()
      const headers = { traceparent: "one", "x-forwarded-network": "here" }
      return yield* connectFar(stream, { ...farEnd(identities), ...rest }, { authority: AUTHORITY, headers })
    })
    const fiber = yield* Effect.forkChild(Scope.provide(connecting, own), { startImmediately: true })
    return { fiber, layers, close: Scope.close(own, Exit.void) }
  })
  return { gateway, outer, open }
})

/** The same with our server as the far end. */
const up = Effect.gen(function* () {
  const far = yield* serveHbone(yield* bundleOf(ca, SERVER))
  const rest = yield* throughGateway({ host: far.address.ip, port: far.address.port })
  /** Nothing of any connection is left, and the tunnel to the gateway still serves. */
  const nothingLeft = Effect.promise(() =>
    eventually(
      () =>
        rest.outer.streams === 0 &&
        rest.gateway.open() === 0 &&
        far.sockets.size === 0 &&
        far.counts.opened === far.counts.closed &&
        rest.outer.capacity === 100,
      () => JSON.stringify([rest.outer.streams, rest.gateway.open(), far.sockets.size, far.counts])
    )
  )
  return { ...rest, far, nothingLeft }
})

const connected = Effect.gen(function* () {
  const all = yield* up
  const { close, fiber, layers } = yield* all.open()
  const { ends, stream } = yield* all.far.next
  const accepted = stream.accept({ baggage: "k8s.namespace.name=shop" })
  const answer = yield* Fiber.join(fiber)
  return {
    ...all,
    answer,
    close,
    layers,
    ends,
    stream,
    client: heard(answer.conduit),
    server: heard(accepted!) // the client waits for it
  }
})

const until = (check: () => boolean, what: string) => Effect.promise(() => eventually(check, what))
const write = (conduit: Conduit, bytes: Buffer) => void conduit.write(bytes, () => {})
const MEGABYTES = 6 * 1024 * 1024

describe("a stream in a tunnel in a stream", () => {
  it.live("arrives at both with the authority it was given, and the far end proves who it is", () =>
    Effect.gen(function* () {
      const { answer, ends, gateway, stream } = yield* connected
      assert.deepStrictEqual(gateway.carried, [
        { authority: AUTHORITY, headers: [["traceparent", "one"]], peer: `URI:${CLIENT}` }
      ])
      assert.strictEqual(stream.authority, AUTHORITY)
      assert.deepStrictEqual(stream.header("x-forwarded-network"), ["here"])
      assert.strictEqual(ends.principal, CLIENT)
      assert.strictEqual(answer.identity, SERVER)
      assert.deepStrictEqual(answer.baggage, ["k8s.namespace.name=shop"])
    })
  )

  it.live("carries megabytes both ways at once, ends in order, and leaves nothing", () =>
    Effect.gen(function* () {
      const { client, close, nothingLeft, server } = yield* connected
      write(client.conduit, patterned(1, 0, MEGABYTES))
      write(server.conduit, patterned(2, 0, MEGABYTES))
      client.conduit.end()
      server.conduit.end()
      yield* client.until("Closed")
      yield* server.until("Closed")
      assert.isTrue(server.bytes().equals(patterned(1, 0, MEGABYTES)))
      assert.isTrue(client.bytes().equals(patterned(2, 0, MEGABYTES)))
      assert.deepStrictEqual([client.events, server.events], [ORDERLY, ORDERLY])
      yield* close
      yield* nothingLeft
    })
  )

  it.live.each(["client", "server"] as const)("stays open the other way when the %s ends first", (first) =>
    Effect.gen(function* () {
      const both = yield* connected
      const [ended, other] = first === "client" ? [both.client, both.server] : [both.server, both.client]
      write(ended.conduit, Buffer.from("bye"))
      ended.conduit.end()
      yield* other.until("eof")
      assert.strictEqual(String(other.bytes()), "bye")
      write(other.conduit, patterned(1, 0, MEGABYTES))
      other.conduit.end()
      yield* ended.until("Closed")
      assert.isTrue(ended.bytes().equals(patterned(1, 0, MEGABYTES)))
      yield* both.close
      yield* both.nothingLeft
    })
  )

  it.live.each(["client", "server"] as const)("reset by the %s is a reset at the other side", (from) =>
    Effect.gen(function* () {
      const both = yield* connected
      const [cut, other] = from === "client" ? [both.client, both.server] : [both.server, both.client]
      write(other.conduit, Buffer.from("x"))
      yield* until(() => cut.bytes().length === 1, "the first byte")
      cut.conduit.reset()
      yield* other.until("Reset")
      assert.deepStrictEqual(other.events, ["Reset"])
      yield* both.close
      yield* both.nothingLeft
    })
  )

  it.live("that its scope leaves unfinished is reset at the far end", () =>
    Effect.gen(function* () {
      const { close, nothingLeft, server } = yield* connected
      yield* close
      yield* until(() => server.events.length > 0, "its end")
      assert.notInclude(server.events, "eof")
      assert.notInclude(server.events, "Closed")
      yield* nothingLeft
    })
  )

  it.live("is not gone before the gateway has taken all of it", () =>
    Effect.gen(function* () {
      const { client, close, gateway, layers, nothingLeft, server } = yield* connected
      server.conduit.end()
      yield* client.until("eof")
      const goOn = gateway.hold()
      write(client.conduit, patterned(3, 0, 1_000_000))
      client.conduit.end()
      const closing = yield* Effect.forkChild(Effect.andThen(client.until("Closed"), close))
      // all of it has left the inner tunnel, and most of it is still here
      yield* until(() => (layers.outer?.writableLength ?? 0) > 500_000, "bytes in the outer stream")
      yield* turns(100)
      assert.notInclude(client.events, "Closed")
      goOn()
      yield* Fiber.join(closing)
      yield* server.until("Closed")
      assert.isTrue(server.bytes().equals(patterned(3, 0, 1_000_000)))
      yield* nothingLeft
    })
  )

  it.live("can be cut while it waits for the gateway", () =>
    Effect.gen(function* () {
      const { client, close, gateway, layers, nothingLeft, server } = yield* connected
      server.conduit.end()
      yield* client.until("eof")
      gateway.hold()
      write(client.conduit, patterned(3, 0, 1_000_000))
      client.conduit.end()
      yield* until(() => (layers.outer?.writableLength ?? 0) > 500_000, "bytes in the outer stream")
      yield* turns(100)
      client.conduit.reset()
      yield* client.until("Reset")
      yield* close
      yield* until(() => server.events.length > 0, "its end")
      assert.notInclude(server.events, "eof")
      yield* nothingLeft
    })
  )

  it.live("breaks at both ends when the gateway dies, and what arrived does not look complete", () =>
    Effect.gen(function* () {
      const { client, close, far, gateway, outer, server } = yield* connected
      write(client.conduit, patterned(1, 0, MEGABYTES))
      write(server.conduit, patterned(2, 0, MEGABYTES))
      yield* until(() => client.bytes().length > 0 && server.bytes().length > 0, "first bytes")
      gateway.cut()
      // at once: not when some deadline has passed
      const both = () => client.events.length > 0 && server.events.length > 0
      yield* Effect.promise(() => eventually(both, "both ends", 900))
      assert.match(client.events.join(), /^Failed: the tunnel closed: the tunnel closed: /)
      assert.match(server.events.join(), /^(Failed: |Reset)/)
      yield* close
      yield* until(() => outer.streams === 0 && outer.capacity === 0, "the end of the outer tunnel")
      yield* until(() => far.sockets.size === 0 && far.counts.closed === 1 && gateway.open() === 0, "nothing left")
    })
  )

  it.live("breaks when what is behind the gateway dies", () =>
    Effect.gen(function* () {
      const { client, close, far, nothingLeft } = yield* connected
      for (const socket of far.sockets) socket.resetAndDestroy()
      yield* until(() => client.events.length > 0, "its end")
      assert.deepStrictEqual(client.events, ["Failed: the tunnel closed: the gateway reset it"])
      yield* close
      yield* nothingLeft
    })
  )
})

describe("the way into the inner tunnel", () => {
  it.live.each([401, 503])("a far end that refuses with %d is told as that, and nothing is left", (status) =>
    Effect.gen(function* () {
      const { far, nothingLeft, open } = yield* up
      const { close, fiber } = yield* open()
      const { stream } = yield* far.next
      stream.refuse(status)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.message, `http status: ${status}`)
      yield* close
      yield* nothingLeft
    })
  )

  it.live.each([
    { whom: "whoever is not one of the service's names", accepted: [OTHER], expected: OTHER },
    { whom: "whoever only the gateway may be", accepted: [GATEWAY], expected: GATEWAY },
    { whom: "everyone, where the service has no names", accepted: [], expected: "nobody" }
  ])("refuses $whom, before anything is said", ({ accepted, expected }) =>
    Effect.gen(function* () {
      const { far, nothingLeft, open } = yield* up
      const { close, fiber } = yield* open({}, accepted)
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.isTrue(error._tag === "ProxyError" && error.reason._tag === "TlsFailed")
      assert.include(error.message, `${AUTHORITY}: expected ${expected}`)
      yield* close
      yield* nothingLeft
      assert.strictEqual(far.untaken(), 0)
    })
  )

  it.live("takes any of the accepted, and says which it was", () =>
    Effect.gen(function* () {
      const { far, open } = yield* up
      const { fiber } = yield* open({}, [OTHER, SERVER])
      void (yield* far.next).stream.accept({})
      assert.strictEqual((yield* Fiber.join(fiber)).identity, SERVER)
    })
  )

  it.live("gives up on a far end that says nothing", () =>
    Effect.gen(function* () {
      const silent = yield* listenTcp((socket) => socket.resume().on("end", () => socket.end()))
      const { gateway, open, outer } = yield* throughGateway(silent)
      const { close, fiber } = yield* open({ handshakeTimeoutMs: 150 })
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.message, `tls error: ${AUTHORITY}: no TLS handshake within 150 ms`)
      yield* close
      yield* until(() => outer.streams === 0 && gateway.open() === 0 && silent.open.size === 0, "nothing left")
    })
  )

  it.live("says that the gateway ended it when nobody is behind the gateway", () =>
    Effect.gen(function* () {
      const { open, outer } = yield* throughGateway({ host: "127.0.0.1", port: 1 })
      const { close, fiber } = yield* open()
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.message, `tls error: ${AUTHORITY}: the gateway reset it`)
      yield* close
      yield* until(() => outer.streams === 0, "no stream")
    })
  )

  it.live("leaves nothing when it is given up half-way", () =>
    Effect.gen(function* () {
      const { far, nothingLeft, open } = yield* up
      const handshaking = yield* open()
      yield* Fiber.interrupt(handshaking.fiber)
      yield* handshaking.close
      const asking = yield* open()
      yield* far.next
      yield* Fiber.interrupt(asking.fiber)
      yield* asking.close
      yield* nothingLeft
    })
  )
})

describe("many at once", () => {
  it.live("in one outer tunnel, ending in every way, leave nothing", () =>
    Effect.gen(function* () {
      const { far, nothingLeft, open } = yield* up
      const connections = []
      for (let index = 0; index < 40; index++) {
        const { close, fiber } = yield* open()
        const accepted = (yield* far.next).stream.accept({})
        const client = heard((yield* Fiber.join(fiber)).conduit)
        connections.push({ client, close, server: heard(accepted!) }) // the client waits for it
      }
      for (const { client, server } of connections) {
        write(client.conduit, patterned(1, 0, 100_000))
        write(server.conduit, patterned(2, 0, 100_000))
      }
      yield* turns(3)
      for (const [index, { client, server }] of connections.entries()) {
        if (index % 5 === 0) client.conduit.end()
        if (index % 5 === 0) server.conduit.end()
        if (index % 5 === 1) client.conduit.reset()
        if (index % 5 === 2) server.conduit.reset()
        if (index % 5 === 3) client.conduit.destroy()
      }
      for (const [index, { client, server }] of connections.entries()) {
        if (index % 5 === 4) continue
        yield* until(() => client.events.some(isGone), `the end of ${index}`)
        if (index % 5 > 0) continue
        yield* server.until("Closed")
        assert.isTrue(server.bytes().equals(patterned(1, 0, 100_000)))
        assert.isTrue(client.bytes().equals(patterned(2, 0, 100_000)))
      }
      yield* Effect.all(
        connections.map(({ close }) => close),
        { concurrency: "unbounded" }
      )
      yield* nothingLeft
    })
  )
})

/** Lets the loop go round. */
const turns = (count: number) =>
  Effect.promise(async () => {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
  })

const isGone = (event: string) => event !== "eof"
const ORDERLY = ["eof", "Closed"]
