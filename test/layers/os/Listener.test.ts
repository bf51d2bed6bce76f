import { once } from "node:events"
import * as Net from "node:net"
import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { LOOPBACK_V4 } from "../../../src/domain/Address.ts"
import type { ListenerSpec } from "../../../src/domain/shard/Message.ts"
import { byteLength, type Layout, layoutOf, slotIndex } from "../../../src/domain/shard/MetricLayout.ts"
import { ShardMetrics } from "../../../src/layers/observe/Metrics.ts"
import { InHand } from "../../../src/layers/os/InHand.ts"
import { type Accepted, Listeners } from "../../../src/layers/os/Listener.ts"
import { linuxCalls, Native, NativeError } from "../../../src/layers/os/Native.ts"
import { SocketFactory } from "../../../src/layers/os/SocketFactory.ts"
import { eventually } from "../../support/eventually.ts"
import { newSockets, openSockets } from "../../support/kernelTcp.ts"
import { closed, connectPlain } from "../../support/rawTcp.ts"

const onLinux = Os.platform() === "linux"
const layoutFor = (shards: number): Layout => layoutOf(new SharedArrayBuffer(byteLength(shards)), shards)

/** What shard `shard` accepts with. */
const listenersOf = (layout: Layout, shard: number, shards: number, native: typeof Native.layer = Native.layer) =>
  Effect.map(
    Layer.build(
      Layer.mergeAll(Listeners.layer(shards)).pipe(
        Layer.provideMerge(ShardMetrics.layer(layout, shard, shards)),
        Layer.provide(InHand.layer(layout, shard)),
        Layer.provide(native)
      )
    ),
    (context) => ({ listeners: Context.get(context, Listeners), metrics: Context.get(context, ShardMetrics) })
  )

/** The process's listening socket, as the main thread makes it. */
const processSocket = Effect.gen(function* () {
  const factory = Context.get(yield* Layer.build(Layer.provide(SocketFactory.layer, Native.layer)), SocketFactory)
  const { address, fd } = yield* factory.listen(
    { ip: LOOPBACK_V4, port: 0 },
    { keepalive: undefined, abortOnClose: false }
  )
  const spec: ListenerSpec = { kind: "outbound", address, fd }
  return { spec, connect: () => connectPlain({ host: address.ip, port: address.port }) }
})
const unbound: ListenerSpec = { kind: "socks5", address: { ip: LOOPBACK_V4, port: 0 }, fd: undefined }

/** Answers each connection with `text` and counts it. */
const answering = (text: string) => {
  const accepted: Array<Accepted> = []
  return {
    accepted,
    onAccept: (each: Accepted) => {
      accepted.push(each)
      each
        .socket({ allowHalfOpen: true })
        .on("error", () => {})
        .end(text)
    }
  }
}

const read = async (socket: Net.Socket): Promise<string> => {
  let text = ""
  socket.on("data", (chunk: Buffer) => (text += String(chunk)))
  await once(socket, "end")
  socket.destroy()
  return text
}

describe.skipIf(!onLinux)("a listener on the process's socket (Linux)", () => {
  it.live("accepts, tells both ends, and hands the socket over with all that came early", () =>
    Effect.gen(function* () {
      const { listeners } = yield* listenersOf(layoutFor(1), 0, 1)
      const { connect, spec } = yield* processSocket
      const seen = Promise.withResolvers<readonly [Accepted, string]>()
      const address = yield* listeners.listen(spec, (accepted) => {
        const socket = accepted.socket({ allowHalfOpen: true })
        void read(socket).then((text) => seen.resolve([accepted, text]))
      })
      assert.deepStrictEqual(address, spec.address)
      const client = connect()
      client.end("early")
      const [accepted, text] = yield* Effect.promise(() => seen.promise)
      assert.strictEqual(text, "early")
      assert.deepStrictEqual(accepted.local(), spec.address)
      assert.deepStrictEqual(accepted.originalDestination(), spec.address)
      assert.deepStrictEqual(accepted.peer, { ip: LOOPBACK_V4, port: client.localPort })
    })
  )

  it.live("closes while its connections live on, and leaves no descriptor of its own", () =>
    Effect.gen(function* () {
      const { listeners } = yield* listenersOf(layoutFor(1), 0, 1)
      const { connect, spec } = yield* processSocket
      const accepting = yield* Scope.make()
      const { promise, resolve } = Promise.withResolvers<Net.Socket>()
      const listen = listeners.listen(spec, (accepted) => resolve(accepted.socket({ allowHalfOpen: true })))
      const before = openSockets()
      yield* Scope.provide(listen, accepting)
      const client = connect()
      const socket = yield* Effect.promise(() => promise)
      yield* Scope.close(accepting, Exit.void)
      client.write("still here")
      const [text]: Array<unknown> = yield* Effect.promise(() => once(socket, "data"))
      assert.strictEqual(String(text), "still here")
      client.destroy()
      socket.destroy()
      yield* Effect.promise(() => Promise.all([closed(client), closed(socket)]))
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "no socket of its own"))
    })
  )

  it.live("that closes loses no connection that waits: another shard takes it", () =>
    Effect.gen(function* () {
      const layout = layoutFor(2)
      const [first, second] = [yield* listenersOf(layout, 0, 2), yield* listenersOf(layout, 1, 2)]
      const { connect, spec } = yield* processSocket
      const accepting = yield* Scope.make()
      yield* Scope.provide(first.listeners.listen(spec, answering("first").onAccept), accepting)
      yield* Scope.close(accepting, Exit.void)
      const clients = Array.from({ length: 20 }, connect)
      yield* Effect.promise(() => Promise.all(clients.map((client) => once(client, "connect"))))
      yield* second.listeners.listen(spec, answering("second").onAccept)
      const texts = yield* Effect.promise(() => Promise.all(clients.map(read)))
      assert.deepStrictEqual(new Set(texts), new Set(["second"]))
    })
  )

  it.live("steps back for some milliseconds when its shard holds too many, and comes back", () =>
    Effect.gen(function* () {
      const layout = layoutFor(2)
      const [full, other] = [yield* listenersOf(layout, 0, 2), yield* listenersOf(layout, 1, 2)]
      full.metrics.add("socketsOpen", 1_000)
      const { connect, spec } = yield* processSocket
      const times: Array<number> = []
      const { onAccept } = answering("full")
      yield* full.listeners.listen(spec, (accepted) => {
        times.push(performance.now())
        onAccept(accepted)
      })
      yield* other.listeners.listen(spec, answering("other").onAccept)
      let texts: Array<string> = []
      for (let each = 0; each < 300; each++) texts.push(yield* Effect.promise(() => read(connect())))
      const gaps = times.slice(1).map((time, index) => time - times[index]!)
      assert.isTrue(
        gaps.every((gap) => gap >= 8),
        `two within ${Math.min(...gaps)} ms`
      )
      assert.isAbove(times.length, 1)
      assert.isAbove(texts.filter((text) => text === "other").length, 150)
      assert.strictEqual(full.metrics.sockets().own, 1_000)
    })
  )

  it.live("alone on its machine never steps back", () =>
    Effect.gen(function* () {
      const { listeners, metrics } = yield* listenersOf(layoutFor(1), 0, 1)
      metrics.add("socketsOpen", 1_000)
      const { connect, spec } = yield* processSocket
      const { accepted, onAccept } = answering("alone")
      yield* listeners.listen(spec, onAccept)
      const clients = Array.from({ length: 50 }, connect)
      yield* Effect.promise(() => Promise.all(clients.map(read)))
      assert.lengthOf(accepted, 50)
    })
  )

  it.live.each(["as it starts", "while it accepts"])(
    "that finds no descriptor left, %s, tries again and counts it",
    (when) =>
      Effect.gen(function* () {
        const linux = yield* Effect.promise(linuxCalls)
        let failures = when === "as it starts" ? 3 : 0
        const duplicate = (fd: number): number => {
          failures -= 1
          if (failures >= 0) throw new NativeError({ call: "fcntl", errno: Os.constants.errno.EMFILE })
          return linux.duplicate(fd)
        }
        const layout = layoutFor(2)
        const native = Layer.succeed(Native, { linux: { ...linux, duplicate } })
        const { listeners, metrics } = yield* listenersOf(layout, 0, 2, native)
        const { connect, spec } = yield* processSocket
        yield* listeners.listen(spec, answering("back").onAccept)
        if (when === "while it accepts") {
          // it steps back after the next one, and cannot come back at once
          metrics.add("socketsOpen", 1_000)
          failures = 3
        }
        assert.strictEqual(yield* Effect.promise(() => read(connect())), "back")
        assert.strictEqual(yield* Effect.promise(() => read(connect())), "back")
        assert.isAtMost(failures, 0)
        if (when === "as it starts") assert.isAbove(layout.blocks[slotIndex(0, "acceptErrors")]!, 0)
      })
  )
})

describe("a listener without the kernel's help", () => {
  it.live("binds for itself, tells where, accepts, and closes", () =>
    Effect.gen(function* () {
      const { listeners } = yield* listenersOf(layoutFor(1), 0, 1, Native.layerPortable)
      const scope = yield* Scope.make()
      const address = yield* Scope.provide(listeners.listen(unbound, answering("portable").onAccept), scope)
      assert.isAbove(address.port, 0)
      const connect = () => connectPlain({ host: address.ip, port: address.port })
      assert.strictEqual(yield* Effect.promise(() => read(connect())), "portable")
      yield* Scope.close(scope, Exit.void)
      const late = Net.connect({ host: address.ip, port: address.port })
      const [error]: Array<unknown> = yield* Effect.promise(() => once(late, "error"))
      assert.include(String(error), "ECONNREFUSED")
    })
  )

  it.live("takes the local address for the original destination", () =>
    Effect.gen(function* () {
      const { listeners } = yield* listenersOf(layoutFor(1), 0, 1, Native.layerPortable)
      const { accepted, onAccept } = answering("")
      const address = yield* listeners.listen(unbound, onAccept)
      yield* Effect.promise(() => read(connectPlain({ host: address.ip, port: address.port })))
      assert.deepStrictEqual(accepted[0]?.originalDestination(), address)
    })
  )

  it.live("fails when the port is taken", () =>
    Effect.gen(function* () {
      const { listeners } = yield* listenersOf(layoutFor(1), 0, 1, Native.layerPortable)
      const address = yield* listeners.listen(unbound, () => {})
      const error = yield* Effect.flip(listeners.listen({ ...unbound, address }, () => {}))
      assert.include(error.detail, "EADDRINUSE")
    })
  )
})
