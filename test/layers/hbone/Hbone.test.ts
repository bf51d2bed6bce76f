/** Streams over a real tunnel on loopback: what arrives, how it ends, and what a tunnel's end does to them. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Conduit } from "../../../src/layers/os/Conduit.ts"
import { eventually } from "../../support/eventually.ts"
import { heard } from "../../support/heardConduit.ts"
import { bundleOf, CLIENT, SERVER, serveHbone, tunnelTo } from "../../support/hboneTunnel.ts"
import { patterned } from "../../support/tcpConduits.ts"
import { makeTestCa, type TestCa } from "../../support/TestCa.ts"

let ca: TestCa
beforeAll(async () => {
  ca = await makeTestCa()
})

/** A tunnel that is up. */
const up = Effect.gen(function* () {
  const served = yield* serveHbone(yield* bundleOf(ca, SERVER))
  const own = yield* Scope.fork(yield* Effect.scope)
  const tunnel = yield* Scope.provide(tunnelTo(served.address, yield* bundleOf(ca, CLIENT)), own)
  return { ...served, tunnel, closeTunnel: Scope.close(own, Exit.void) }
})

const request = { authority: "10.0.0.1:8080", headers: { baggage: "k8s.namespace.name=shop", forwarded: "for=x" } }

/** A tunnel with one stream in it: a conduit at either side, and what each receives and is told. */
const connected = Effect.gen(function* () {
  const { next, server, tunnel, ...rest } = yield* up
  const asking = yield* Effect.forkChild(tunnel.connect(request), { startImmediately: true })
  const { ends, stream } = yield* next
  const accepted = stream.accept({ baggage: "a=b" })
  const { baggage, conduit } = yield* Fiber.join(asking)
  return {
    ...rest,
    next,
    tunnel,
    ends,
    stream,
    baggage,
    goAway: server.goAway,
    client: heard(conduit),
    server: heard(accepted!) // the client still waits for the answer
  }
})

const until = (check: () => boolean, what: string) => Effect.promise(() => eventually(check, what))
const write = (conduit: Conduit, bytes: Buffer) => void conduit.write(bytes, () => {})

describe("a stream of a tunnel", () => {
  it.live("arrives with its method, authority, headers and the identity of its client", () =>
    Effect.gen(function* () {
      const { baggage, ends, stream } = yield* connected
      assert.strictEqual(stream.method, "CONNECT")
      assert.strictEqual(stream.authority, "10.0.0.1:8080")
      assert.deepStrictEqual(stream.header("baggage"), ["k8s.namespace.name=shop"])
      assert.deepStrictEqual(stream.header("traceparent"), [])
      assert.strictEqual(ends.principal, CLIENT)
      assert.deepStrictEqual(baggage, ["a=b"])
    })
  )

  it.live("carries bytes both ways at once, and ends in order", () =>
    Effect.gen(function* () {
      const { client, server, tunnel } = yield* connected
      const size = 3 * 1024 * 1024
      write(client.conduit, patterned(1, 0, size))
      write(server.conduit, patterned(2, 0, size))
      client.conduit.end()
      server.conduit.end()
      yield* client.until("Closed")
      yield* server.until("Closed")
      assert.isTrue(server.bytes().equals(patterned(1, 0, size)))
      assert.isTrue(client.bytes().equals(patterned(2, 0, size)))
      assert.deepStrictEqual(
        [client.events, server.events],
        [
          ["eof", "Closed"],
          ["eof", "Closed"]
        ]
      )
      yield* until(() => tunnel.streams === 0, "no stream")
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
      write(other.conduit, patterned(1, 0, 100_000))
      other.conduit.end()
      yield* ended.until("Closed")
      assert.isTrue(ended.bytes().equals(patterned(1, 0, 100_000)))
    })
  )

  it.live.each(["client", "server"] as const)(
    "reset by the %s is a reset at the other side, and the tunnel lives",
    (from) =>
      Effect.gen(function* () {
        const { client, next, server, tunnel } = yield* connected
        const [cut, other] = from === "client" ? [client, server] : [server, client]
        write(other.conduit, Buffer.from("x"))
        yield* until(() => cut.bytes().length === 1, "the first byte")
        cut.conduit.reset()
        yield* other.until("Reset")
        assert.deepStrictEqual(other.events, ["Reset"])
        // RST_STREAM with CANCEL, not with INTERNAL_ERROR
        assert.strictEqual(Reflect.get(Object(Reflect.get(other.conduit, "stream")), "rstCode"), 8)
        yield* until(() => tunnel.streams === 0, "no stream")
        yield* Effect.forkChild(tunnel.connect(request), { startImmediately: true })
        assert.strictEqual((yield* next).stream.authority, "10.0.0.1:8080")
      })
  )

  it.live("that its scope leaves unfinished is reset", () =>
    Effect.gen(function* () {
      const { next, tunnel } = yield* up
      const own = yield* Scope.make()
      const asking = yield* Effect.forkChild(Scope.provide(tunnel.connect(request), own), { startImmediately: true })
      const server = heard((yield* next).stream.accept({})!) // the client waits for it
      yield* Fiber.join(asking)
      yield* Scope.close(own, Exit.void)
      yield* server.until("Reset")
      assert.strictEqual(tunnel.streams, 0)
    })
  )

  it.live("given up while it waits for the answer is reset, and cannot be accepted any more", () =>
    Effect.gen(function* () {
      const { next, tunnel } = yield* up
      const asking = yield* Effect.forkChild(tunnel.connect(request), { startImmediately: true })
      const { stream } = yield* next
      yield* Fiber.interrupt(asking)
      yield* until(() => tunnel.streams === 0, "no stream")
      yield* until(() => stream.accept({}) === undefined, "the reset at the server")
      stream.refuse(503)
    })
  )

  it.live.each([400, 401, 503])("refused with %d says so, and the tunnel lives", (status) =>
    Effect.gen(function* () {
      const { next, tunnel } = yield* up
      const asking = yield* Effect.forkChild(Effect.flip(tunnel.connect(request)), { startImmediately: true })
      const { stream } = yield* next
      stream.refuse(status)
      const error = yield* Fiber.join(asking)
      assert.strictEqual(error.message, `http status: ${status}`)
      yield* until(() => tunnel.streams === 0, "no stream")
      assert.strictEqual(tunnel.capacity, 100)
    })
  )

  it.live.each(["FIN", "RST"])(
    "fails at once when the other process dies (%s), and says that the tunnel closed",
    (how) =>
      Effect.gen(function* () {
        const { client, closeTunnel, server, sockets, tunnel } = yield* connected
        let gone = false
        tunnel.watch({ onIdle: () => {}, onGone: () => (gone = true) })
        for (const socket of sockets) {
          if (how === "RST") socket.resetAndDestroy()
          else socket.destroy()
        }
        yield* until(() => client.events.length > 0 && server.events.length > 0, "both ends")
        assert.match(client.events.join(), /^Failed: the tunnel closed: /)
        assert.match(server.events.join(), /^Failed: the tunnel closed: /)
        yield* until(() => gone, "the tunnel's end")
        assert.strictEqual(tunnel.capacity, 0)
        yield* closeTunnel
      })
  )
})

describe("a tunnel", () => {
  it.live("tells when its last stream has ended", () =>
    Effect.gen(function* () {
      const { client, server, tunnel } = yield* connected
      let idle = 0
      tunnel.watch({ onIdle: () => (idle += 1), onGone: () => {} })
      client.conduit.end()
      server.conduit.end()
      yield* until(() => idle === 1, "idleness")
      assert.strictEqual(tunnel.streams, 0)
    })
  )

  it.live("that is asked to go away keeps its streams, takes no more, and ends with the last", () =>
    Effect.gen(function* () {
      const { client, counts, goAway, server, tunnel } = yield* connected
      yield* goAway
      yield* until(() => tunnel.capacity === 0, "GOAWAY")
      const error = yield* Effect.flip(tunnel.connect(request))
      assert.strictEqual(error._tag, "TunnelGone")
      write(client.conduit, Buffer.from("still"))
      yield* until(() => String(server.bytes()) === "still", "bytes of the old stream")
      assert.strictEqual(counts.closed, 0)
      client.conduit.end()
      server.conduit.end()
      yield* until(() => counts.closed === 1, "the end of the tunnel")
    })
  )

  it.live("that is asked to go away serves what is on its way, or leaves it to another tunnel", () =>
    Effect.gen(function* () {
      const { goAway, next, tunnel } = yield* connected
      // the client does not know yet
      const asking = yield* Effect.forkChild(tunnel.connect(request), { startImmediately: true })
      yield* Effect.forkChild(goAway, { startImmediately: true })
      yield* Effect.forkChild(Effect.map(next, ({ stream }) => stream.accept({})))
      const exit = yield* Fiber.await(asking)
      const turnedAway =
        Exit.isFailure(exit) &&
        exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error._tag === "TunnelGone")
      assert.isTrue(Exit.isSuccess(exit) || turnedAway)
    })
  )

  it.live("closes in order with its scope, at both sides", () =>
    Effect.gen(function* () {
      const { closeTunnel, counts, sockets, tunnel } = yield* up
      yield* until(() => counts.opened === 1, "the tunnel at the server")
      yield* closeTunnel
      assert.strictEqual(tunnel.capacity, 0)
      yield* until(() => counts.closed === 1 && sockets.size === 0, "its end at the server")
      assert.strictEqual((yield* Effect.flip(tunnel.connect(request)))._tag, "TunnelGone")
    })
  )
})
