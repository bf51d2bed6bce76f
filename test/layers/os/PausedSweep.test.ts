/** The sweep of paused sockets tells a reset from a connection that both sides have ended, with bytes still to be read. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { Conduit } from "../../../src/layers/os/Conduit.ts"
import { descriptorOf } from "../../../src/layers/os/Descriptor.ts"
import { linuxCalls, Native } from "../../../src/layers/os/Native.ts"
import { layerPausedSweep } from "../../../src/layers/os/PausedSweep.ts"
import { pausedConduits } from "../../../src/layers/os/TcpConduit.ts"
import { eventually } from "../../support/eventually.ts"
import { sinkConduit } from "../../support/SinkConduit.ts"
import { connectedConduit, patterned } from "../../support/tcpConduits.ts"

/** Takes nothing until it is opened, then everything. */
const gate = () => {
  const received: Array<Buffer> = []
  const waiting: Array<() => void> = []
  let open = false
  const conduit: Conduit = {
    ...sinkConduit(() => {}),
    write: (chunk, taken) => {
      received.push(Buffer.from(chunk))
      if (!open) waiting.push(taken)
      return open
    },
    congested: () => !open
  }
  return {
    conduit,
    received,
    open: () => {
      open = true
      for (const taken of waiting) taken()
    }
  }
}

describe.skipIf(process.platform !== "linux")("a paused socket (Linux)", () => {
  it.effect("that both sides have ended in order keeps the bytes that were not read yet", () =>
    Effect.gen(function* () {
      yield* Layer.build(Layer.provide(layerPausedSweep, Native.layer))
      const linux = yield* Effect.promise(linuxCalls)
      const { conduit, peer } = yield* connectedConduit
      const told: Array<string> = []
      conduit.watch({ eof: () => told.push("end"), gone: ({ _tag }) => told.push(_tag) })
      const far = gate()
      conduit.pump(far.conduit, () => {})
      const sent = patterned(1, 0, 64 * 1024)
      peer.resume()
      peer.write(sent.subarray(0, 1000))
      yield* Effect.promise(() => eventually(() => pausedConduits.has(conduit), "the pause"))
      peer.end(sent.subarray(1000))
      conduit.end()
      const fd = descriptorOf(conduit.socket) ?? -1
      yield* Effect.promise(() => eventually(() => linux.tcpState(fd) === CLOSED, "the end of both directions"))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(told, [])
      far.open()
      yield* Effect.promise(() => eventually(() => told.includes("Closed"), "the end"))
      assert.deepStrictEqual(told, ["end", "Closed"])
      assert.isTrue(Buffer.concat(far.received).equals(sent))
    })
  )
})

/** TCP_CLOSE of Linux. */
const CLOSED = 7
