import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Os from "node:os"
import * as Net from "node:net"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { ipUnsafe, LOOPBACK_V4, type SocketAddress } from "../../../src/domain/Address.ts"
import { byteLength, layoutOf } from "../../../src/domain/shard/MetricLayout.ts"
import { Dialer } from "../../../src/layers/os/Dialer.ts"
import { InHand } from "../../../src/layers/os/InHand.ts"
import { linuxCalls, Native } from "../../../src/layers/os/Native.ts"
import { TcpConduit } from "../../../src/layers/os/TcpConduit.ts"
import { isMissing, isRoot } from "../../support/commands.ts"
import { eventually } from "../../support/eventually.ts"
import { newSockets, openSockets } from "../../support/kernelTcp.ts"
import { closed, listenTcp } from "../../support/rawTcp.ts"
import { sinkConduit } from "../../support/SinkConduit.ts"

const onLinux = Os.platform() === "linux"
const SS: string = "ss"

const keepalive = { enabled: true, timeMs: 180_000, intervalMs: 180_000, retries: 9, userTimeout: false }

const build = (packetMark?: number, native: typeof Native.layer = Native.layer) =>
  Effect.map(
    Layer.build(
      Dialer.layer({ keepalive, packetMark }).pipe(
        Layer.provide(InHand.layer(layoutOf(new SharedArrayBuffer(byteLength(1)), 1), 0)),
        Layer.provide(native)
      )
    ),
    (context) => Context.get(context, Dialer)
  )

const at = ({ host, port }: { readonly host: string; readonly port: number }): SocketAddress => ({
  ip: ipUnsafe(host),
  port
})

/** An address that neither accepts nor refuses: its queue is full. */
const blackHole = Effect.gen(function* () {
  const linux = yield* Effect.promise(linuxCalls)
  const fd = yield* Effect.acquireRelease(
    Effect.sync(() =>
      linux.listen({ address: { ip: LOOPBACK_V4, port: 0 }, backlog: 0, keepalive: undefined, abortOnClose: false })
    ),
    (fd) => Effect.sync(() => linux.close(fd))
  )
  const address = linux.localAddress(fd)
  const filler = Net.connect({ host: address.ip, port: address.port })
  yield* Effect.addFinalizer(() => Effect.sync(() => filler.destroy()))
  yield* Effect.promise(() => once(filler, "connect"))
  return address
})

/** Node makes a socket's descriptor in the turn after. */
const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

const unusedPort = Effect.map(Effect.scoped(listenTcp(() => {})), ({ port }): SocketAddress => ({
  ip: LOOPBACK_V4,
  port
}))

afterEach(() => void vi.useRealTimers())

describe("a dialled connection", () => {
  it.live("is paused, loses nothing that comes early, and closes with its scope", () =>
    Effect.gen(function* () {
      const server = yield* listenTcp((socket) => socket.on("end", () => socket.end()).write("hello"))
      const dialer = yield* build()
      const scope = yield* Scope.make()
      const conduit = yield* Scope.provide(dialer.dial(at(server)), scope)
      assert.isTrue(conduit instanceof TcpConduit && conduit.socket.isPaused())
      const received: Array<string> = []
      conduit.pump(
        sinkConduit((chunk) => received.push(String(chunk))),
        () => {}
      )
      yield* Effect.promise(() => eventually(() => received.join("") === "hello", "what the server sent"))
      const [peer] = server.open
      yield* Scope.close(scope, Exit.void)
      yield* Effect.promise(() => closed(peer!)) // it has sent "hello"
    })
  )

  it.live("leaves from the address it is told to", () =>
    Effect.gen(function* () {
      const from = Promise.withResolvers<string | undefined>()
      const server = yield* listenTcp((socket) => from.resolve(socket.remoteAddress))
      const dialer = yield* build()
      yield* dialer.dialSocket(at(server), ipUnsafe("127.0.0.9"))
      assert.strictEqual(yield* Effect.promise(() => from.promise), "127.0.0.9")
    })
  )

  it.live("that is refused says by whom and why, and leaves no socket", () =>
    Effect.gen(function* () {
      const address = yield* unusedPort
      const dialer = yield* build()
      const before = openSockets()
      const error = yield* Effect.flip(dialer.dial(address))
      assert.match(error.message, new RegExp(`^connection failed: 127.0.0.1:${address.port}: .*ECONNREFUSED`))
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "the socket's end"))
    })
  )

  it.live("from an address that is not ours fails, and leaves no socket", () =>
    Effect.gen(function* () {
      const server = yield* listenTcp(() => {})
      const dialer = yield* build()
      const before = openSockets()
      const error = yield* Effect.flip(dialer.dialSocket(at(server), ipUnsafe("192.0.2.1")))
      assert.include(error.message, "EADDRNOTAVAIL")
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "the socket's end"))
    })
  )

  it.live.skipIf(!onLinux)("that nobody answers is given up after 10 s, and leaves no socket (Linux)", () =>
    Effect.gen(function* () {
      const address = yield* blackHole
      const dialer = yield* build()
      const before = openSockets()
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
      const fiber = yield* Effect.forkChild(dialer.dial(address), { startImmediately: true })
      vi.advanceTimersByTime(9_999)
      yield* nextTurn
      assert.lengthOf(newSockets(before), 1)
      vi.advanceTimersByTime(1)
      const exit = yield* Fiber.await(fiber)
      vi.useRealTimers()
      assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("timed out"))
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "the socket's end"))
    })
  )

  const interrupted = (mark: number | undefined) =>
    Effect.gen(function* () {
      const address = yield* blackHole
      const dialer = yield* build(mark)
      const before = openSockets()
      const fiber = yield* Effect.forkChild(dialer.dial(address), { startImmediately: true })
      yield* nextTurn
      assert.lengthOf(newSockets(before), 1)
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "the socket's end"))
    })
  it.live.skipIf(!onLinux)("that is interrupted leaves no socket (Linux)", () => interrupted(undefined))
  it.live.skipIf(!onLinux || !isRoot)("that is interrupted with PACKET_MARK leaves no socket (Linux, root)", () =>
    interrupted(1337)
  )

  it.live.skipIf(!onLinux || !isRoot || isMissing(SS))(
    "carries PACKET_MARK from its first packet on (Linux, root, ss)",
    () =>
      Effect.gen(function* () {
        const server = yield* listenTcp((socket) => socket.end("done"))
        const dialer = yield* build(1337)
        const socket = yield* dialer.dialSocket(at(server))
        const filter = ["-Htne", "src", `127.0.0.1:${socket.localPort}`]
        const { stdout } = ChildProcess.spawnSync(SS, filter, { encoding: "utf8" })
        assert.include(stdout, "fwmark:0x539")
        const [text]: Array<unknown> = yield* Effect.promise(() => once(socket.resume(), "data"))
        assert.strictEqual(String(text), "done")
      })
  )

  it.live.skipIf(!onLinux || !isRoot)("with a mark fails as plainly as without (Linux, root)", () =>
    Effect.gen(function* () {
      const address = yield* unusedPort
      const dialer = yield* build(1337)
      const before = openSockets()
      assert.include((yield* Effect.flip(dialer.dial(address))).message, "ECONNREFUSED")
      yield* Effect.promise(() => eventually(() => newSockets(before).length === 0, "the socket's end"))
    })
  )

  it.live("works without the kernel's calls", () =>
    Effect.gen(function* () {
      const server = yield* listenTcp((socket) => socket.end("done"))
      const dialer = yield* build(1337, Native.layerPortable)
      const socket = yield* dialer.dialSocket(at(server))
      const [text]: Array<unknown> = yield* Effect.promise(() => once(socket.resume(), "data"))
      assert.strictEqual(String(text), "done")
    })
  )
})
