/** One TCP socket as a conduit: what it tells, once; what it keeps; what its peer sees. The relay's tests show the rest. */
import { once } from "node:events"
import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { ConduitEvents, Gone } from "../../../src/layers/os/Conduit.ts"
import { descriptorOf } from "../../../src/layers/os/Descriptor.ts"
import { linuxCalls, Native } from "../../../src/layers/os/Native.ts"
import { layerPausedSweep } from "../../../src/layers/os/PausedSweep.ts"
import { pausedConduits, type TcpConduit } from "../../../src/layers/os/TcpConduit.ts"
import { eventually } from "../../support/eventually.ts"
import { PipeConduit, Turns } from "../../support/PipeConduit.ts"
import { sinkConduit } from "../../support/SinkConduit.ts"
import { connectedConduit } from "../../support/tcpConduits.ts"

/** Collects everything at once. */
const sink = () => {
  const received: Array<Buffer> = []
  const conduit = sinkConduit((chunk) => received.push(Buffer.from(chunk)))
  return { conduit, text: () => String(Buffer.concat(received)) }
}

/** Everything that a conduit tells, in order. */
const told = (conduit: TcpConduit) => {
  const events: Array<string> = []
  const gone = new Promise<Gone>((resolve) => {
    const watcher: ConduitEvents = {
      eof: () => events.push("eof"),
      gone: (how) => {
        events.push(how._tag)
        resolve(how)
      }
    }
    conduit.watch(watcher)
  })
  return { events, gone }
}

const ignoreTally = () => {}

describe("a TCP socket as a conduit", () => {
  it.live("reads nothing before it is pumped, nothing while it is held, and loses nothing", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      peer.write("before ")
      const first = sink()
      conduit.pump(first.conduit, ignoreTally)
      yield* Effect.promise(() => eventually(() => first.text() === "before ", "the first words"))
      conduit.hold()
      yield* Effect.promise(() => new Promise((resolve) => peer.write("meanwhile ", resolve)))
      peer.end("after")
      const second = sink()
      conduit.pump(second.conduit, ignoreTally)
      yield* Effect.promise(() => eventually(() => second.text() === "meanwhile after", "the rest"))
      assert.strictEqual(first.text(), "before ")
    })
  )

  it.live("tells the end, then that it is gone, each once, also to one that comes late", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const { events, gone } = told(conduit)
      conduit.pump(sink().conduit, ignoreTally)
      peer.end()
      yield* Effect.promise(() => eventually(() => events.includes("eof"), "the end"))
      conduit.end()
      assert.deepStrictEqual(yield* Effect.promise(() => gone), { _tag: "Closed" })
      assert.deepStrictEqual(events, ["eof", "Closed"])
      assert.deepStrictEqual(told(conduit).events, ["eof", "Closed"])
    })
  )

  it.live("finishes with everything written, then the end", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const { gone } = told(conduit)
      const size = 4 * 1024 * 1024
      conduit.write(Buffer.alloc(size, "x"), () => {})
      assert.isTrue(conduit.congested())
      conduit.finish()
      let received = 0
      peer.on("data", (chunk: Buffer) => (received += chunk.length)).resume()
      yield* Effect.promise(() => once(peer, "end"))
      assert.strictEqual(received, size)
      assert.strictEqual((yield* Effect.promise(() => gone))._tag, "Closed")
    })
  )

  it.live("sends together what it was told to gather, in order", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const chunks: Array<string> = []
      peer.on("data", (chunk: Buffer) => chunks.push(String(chunk))).resume()
      let taken = 0
      for (const part of ["a", "b", "c"]) {
        conduit.gather()
        assert.isFalse(conduit.write(Buffer.from(part), () => (taken += 1)))
        assert.isFalse(conduit.congested())
      }
      yield* Effect.promise(() => eventually(() => chunks.length > 0, "what was gathered"))
      assert.deepStrictEqual(chunks, ["abc"])
      assert.strictEqual(taken, 3)
    })
  )

  it.live("resets at once, although bytes still wait to go out: a part must not look like the whole", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const { gone } = told(conduit)
      let taken = false
      conduit.write(Buffer.alloc(16 * 1024 * 1024), () => (taken = true))
      conduit.end()
      conduit.reset()
      const error = once(peer.resume(), "error")
      assert.include(String((yield* Effect.promise(() => error))[0]), "ECONNRESET")
      yield* Effect.promise(() => gone)
      assert.isFalse(taken)
    })
  )

  it.live("answers a write exactly once: true, or taken later", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const answers: Array<number> = []
      const write = (bytes: number) => {
        const index = answers.push(0) - 1
        const answer = () => (answers[index] = answers[index]! + 1)
        if (conduit.write(Buffer.alloc(bytes), answer)) answer()
      }
      for (let each = 0; each < 50; each++) write(each % 7 === 0 ? 600_000 : 100)
      assert.isTrue(answers.includes(0))
      peer.resume()
      yield* Effect.promise(() => eventually(() => !answers.includes(0) && !conduit.congested(), "all taken"))
      assert.isTrue(answers.every((count) => count === 1))
    })
  )

  it.live("says that the peer went away when a write fails for that", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const { gone } = told(conduit)
      peer.destroy()
      const writing = setInterval(() => conduit.write(Buffer.from("x"), () => {}), 5)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(writing)))
      assert.deepStrictEqual(yield* Effect.promise(() => gone), { _tag: "Reset" })
    })
  )
})

describe.skipIf(Os.platform() !== "linux")("a conduit that is paused (Linux)", () => {
  it.effect("is found when its peer has reset it, and not before", () =>
    Effect.gen(function* () {
      yield* Layer.build(Layer.provide(layerPausedSweep, Native.layer))
      const linux = yield* Effect.promise(linuxCalls)
      const { conduit, peer } = yield* connectedConduit
      const { events } = told(conduit)
      // what takes nothing: it is congested for ever
      const stalled = new PipeConduit(1, new Turns(0), { acts: [], takes: [0] })
      conduit.pump(stalled, ignoreTally)
      peer.write("more than it takes")
      yield* Effect.promise(() => eventually(() => pausedConduits.has(conduit), "the pause"))
      const fd = descriptorOf(conduit.socket) ?? -1
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(events, [])
      peer.resetAndDestroy()
      yield* Effect.promise(() => eventually(() => linux.tcpState(fd) === 7, "the reset"))
      assert.deepStrictEqual(events, [])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(events, ["Reset"])
      yield* Effect.promise(() => eventually(() => conduit.socket.closed, "its close"))
      assert.strictEqual(pausedConduits.size, 0)
      assert.deepStrictEqual(events, ["Reset"])
    })
  )
})

describe.skipIf(Os.platform() !== "linux")("a TCP socket that is reset when its thread dies (Linux)", () => {
  it.live("stays so after its end was asked for, until the kernel has every byte", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const calls: Array<boolean> = []
      const linux = yield* Effect.promise(() => linuxCalls())
      conduit.resetOnDeath({ ...linux, setAbortOnClose: (_, on) => void calls.push(on) }, false)
      assert.deepStrictEqual(calls, [true])
      peer.pause()
      const chunk = Buffer.alloc(256 * 1024, "x")
      let written = 0
      do written += chunk.length
      while (conduit.write(chunk, ignoreTally))
      conduit.end()
      assert.deepStrictEqual(calls, [true])
      let read = 0
      peer.on("data", (data: Buffer) => (read += data.length)).resume()
      yield* Effect.promise(() =>
        eventually(() => read === written && calls.length === 2, "every byte, then the change")
      )
      assert.deepStrictEqual(calls, [true, false])
    })
  )
})
