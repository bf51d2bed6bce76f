import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { readUntil } from "../../../src/layers/os/Handshake.ts"
import { eventually } from "../../support/eventually.ts"
import { connectedConduit } from "../../support/tcpConduits.ts"

/** A line, and what came behind it. */
const line = (bytes: Buffer) => {
  const end = bytes.indexOf("\n")
  return end < 0 ? undefined : { line: String(bytes.subarray(0, end)), rest: String(bytes.subarray(end + 1)) }
}
const LIMITS = { bytes: 100, timeMs: 10_000 }

describe("reading the first bytes of a connection", () => {
  it.live("gives them all, in whatever pieces they come, until they decide", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const sizes: Array<number> = []
      const fiber = yield* Effect.forkChild(
        readUntil(conduit, LIMITS, (bytes) => {
          sizes.push(bytes.length)
          return line(bytes)
        }),
        { startImmediately: true }
      )
      for (const piece of ["he", "l", "lo\nand"]) {
        const before = sizes.length
        peer.write(piece)
        yield* Effect.promise(() => eventually(() => sizes.length > before, piece))
      }
      assert.deepStrictEqual(yield* Fiber.join(fiber), { line: "hello", rest: "and" })
      assert.deepStrictEqual(sizes, [2, 3, 9])
      assert.isTrue(conduit.socket.isPaused())
    })
  )

  it.live.each(["ends", "resets"])("fails when the peer %s first", (how) =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      peer.write("half a line")
      if (how === "ends") peer.end()
      else setImmediate(() => peer.resetAndDestroy())
      assert.strictEqual(
        (yield* Effect.flip(readUntil(conduit, LIMITS, line))).detail,
        "the client closed before it was complete"
      )
    })
  )

  it.live("fails when more comes than may", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      peer.write("x".repeat(101))
      assert.strictEqual((yield* Effect.flip(readUntil(conduit, LIMITS, line))).detail, "more than 100 bytes")
    })
  )

  it.live("fails when it takes too long", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      peer.write("half a line")
      const error = yield* Effect.flip(readUntil(conduit, { ...LIMITS, timeMs: 20 }, line))
      assert.strictEqual(error.detail, "not complete within 20 ms")
    })
  )

  it.live("interrupted, reads no further: the next step finds every byte", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const fiber = yield* Effect.forkChild(readUntil(conduit, LIMITS, line), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      peer.write("a\nb")
      assert.deepStrictEqual(yield* readUntil(conduit, LIMITS, line), { line: "a", rest: "b" })
    })
  )
})
