/** The relay over real sockets: contents, half-close, resets, and read buffers that nobody else may write into. */
import { once } from "node:events"
import type * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { relay, type Tally } from "../../../src/layers/os/Relay.ts"
import { pausedConduits } from "../../../src/layers/os/TcpConduit.ts"
import { eventually } from "../../support/eventually.ts"
import { closed } from "../../support/rawTcp.ts"
import { PipeConduit, Turns } from "../../support/PipeConduit.ts"
import { connectedConduit, patterned } from "../../support/tcpConduits.ts"

const MIB = 1024 * 1024

/** Counts what the relay tells. */
const tallyOf = (tally: { received: number; sent: number }): Tally => ({
  received: (bytes) => (tally.received += bytes),
  sent: (bytes) => (tally.sent += bytes)
})

/** A relay under way: `client` and `server` are what the applications hold. */
const relayed = Effect.gen(function* () {
  const downstream = yield* connectedConduit
  const upstream = yield* connectedConduit
  const tally = { received: 0, sent: 0 }
  const fiber = yield* Effect.forkChild(
    relay({ downstream: downstream.conduit, upstream: upstream.conduit }, tallyOf(tally)),
    { startImmediately: true }
  )
  const gone = () => downstream.conduit.socket.closed && upstream.conduit.socket.closed
  return { client: downstream.peer, server: upstream.peer, tally, fiber, gone }
})

/** Writes pattern `stream` in chunks, as fast as it is taken, and ends. */
const send = async (socket: Net.Socket, stream: number, total: number, chunk = 64 * 1024) => {
  for (let from = 0; from < total; from += chunk) {
    if (!socket.write(patterned(stream, from, Math.min(chunk, total - from)))) await once(socket, "drain")
  }
  socket.end()
}

/** Reads to the end, checks every byte against the pattern, and answers how many came. `slow` rests between reads. */
const receive = async (socket: Net.Socket, stream: number, slow = false): Promise<number> => {
  let total = 0
  let rest: Buffer = Buffer.alloc(0)
  for await (const piece of socket.iterator({ destroyOnReturn: false })) {
    const chunk: Buffer = Buffer.concat([rest, piece])
    const whole = chunk.length & ~3
    if (!chunk.subarray(0, whole).equals(patterned(stream, total, whole))) {
      throw new Error(`stream ${stream}: other bytes somewhere after ${total}`)
    }
    total += whole
    rest = chunk.subarray(whole)
    if (slow) await new Promise((resolve) => setImmediate(resolve))
  }
  return total + rest.length
}

describe("a relay between TCP sockets", () => {
  it.live.each([0, 4, 5_000, 100_000, 13 * MIB])(
    "delivers %d bytes each way at once, intact, and counts them",
    (size) =>
      Effect.gen(function* () {
        const { client, fiber, gone, server, tally } = yield* relayed
        const [up, down] = yield* Effect.promise(() =>
          Promise.all([receive(server, 1), receive(client, 2), send(client, 1, size), send(server, 2, size)])
        )
        assert.deepStrictEqual([up, down], [size, size])
        assert.strictEqual(yield* Fiber.join(fiber), "ended")
        assert.deepStrictEqual(tally, { received: size, sent: size })
        assert.isTrue(gone())
      })
  )

  it.live("waits for slow readers on both sides without losing or mixing anything", () =>
    Effect.gen(function* () {
      const size = 4 * MIB
      const { client, fiber, server, tally } = yield* relayed
      const [up, down] = yield* Effect.promise(() =>
        Promise.all([receive(server, 1, true), receive(client, 2, true), send(client, 1, size), send(server, 2, size)])
      )
      assert.deepStrictEqual([up, down], [size, size])
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(tally, { received: size, sent: size })
      assert.strictEqual(pausedConduits.size, 0)
    })
  )

  it.live("holds back the writer whose reader does not read, and counts only what it took", () =>
    Effect.gen(function* () {
      const { client, fiber, server, tally } = yield* relayed
      const size = 24 * MIB
      const sending = send(client, 1, size)
      yield* Effect.promise(() => eventually(() => pausedConduits.size === 1, "the pause"))
      assert.isBelow(tally.received, size)
      server.end()
      assert.strictEqual(yield* Effect.promise(() => receive(server, 1)), size)
      yield* Effect.promise(() => Promise.all([sending, receive(client, 2)]))
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
      assert.strictEqual(tally.received, size)
      assert.strictEqual(pausedConduits.size, 0)
    })
  )

  it.live("never gives one stream's buffer to another: sixty at once, some slow, some that break off", () =>
    Effect.gen(function* () {
      const count = 60
      const relays = yield* Effect.all(Array.from({ length: count }, () => relayed))
      yield* Effect.promise(() =>
        Promise.all(
          relays.map(async ({ client, server }, index) => {
            const size = 200_000 + 4_000 * index
            const writing = [send(client, index, size, 4_000 + 404 * index), send(server, 1_000 + index, size)]
            if (index % 6 === 5) {
              // its buffers come back while writes were under way
              client.on("data", () => {})
              server.once("data", () => server.resetAndDestroy()).resume()
              writing.forEach((each) => void each.catch(() => {}))
              return closed(client)
            }
            const [up, down] = await Promise.all([
              receive(server, index, index % 3 === 0),
              receive(client, 1_000 + index)
            ])
            assert.deepStrictEqual([up, down], [size, size])
          })
        )
      )
      for (const { fiber } of relays) yield* Fiber.join(fiber)
      assert.strictEqual(pausedConduits.size, 0)
    })
  )

  it.live("keeps each read buffer untouched for as long as a tunnel has not taken it", () =>
    Effect.gen(function* () {
      const size = 3 * MIB
      const turns = new Turns(5)
      const downstream = yield* connectedConduit
      // takes late and in parts, and lets many buffers wait before it asks for a pause: as a stream of HTTP/2 does
      const upstream = new PipeConduit(2, turns, {
        acts: ["end"],
        takes: [0, 1_000, 50_000, 300_000],
        room: 256 * 1024
      })
      const tally = { received: 0, sent: 0 }
      const fiber = yield* Effect.forkChild(relay({ downstream: downstream.conduit, upstream }, tallyOf(tally)), {
        startImmediately: true
      })
      const turn = setInterval(() => turns.next(), 0)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(turn)))
      yield* Effect.promise(() => Promise.all([send(downstream.peer, 1, size), receive(downstream.peer, 2)]))
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
      assert.strictEqual(tally.received, size)
      assert.isTrue(upstream.received.equals(patterned(1, 0, size)))
    })
  )

  it.live.each(["client", "server"] as const)("keeps the other direction open when the %s ends first", (first) =>
    Effect.gen(function* () {
      const { client, fiber, server } = yield* relayed
      const [ended, other] = first === "client" ? [client, server] : [server, client]
      ended.end(patterned(1, 0, 4))
      assert.strictEqual(yield* Effect.promise(() => receive(other, 1)), 4)
      yield* Effect.promise(() => Promise.all([send(other, 2, MIB), receive(ended, 2)]))
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
    })
  )

  it.live("ends in order when both sides close at the same moment", () =>
    Effect.gen(function* () {
      const { client, fiber, gone, server } = yield* relayed
      client.end()
      server.end()
      yield* Effect.promise(() => Promise.all([closed(client), closed(server)]))
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
      assert.isTrue(gone())
    })
  )

  it.live.each([
    ["client", "at once"],
    ["server", "at once"],
    ["client", "after it had ended its sending"],
    ["server", "after it had ended its sending"],
    ["client", "under load"],
    ["server", "under load"]
  ] as const)("turns a reset from the %s, %s, into a reset of the other side", ([from, when]) =>
    Effect.gen(function* () {
      const { client, fiber, gone, server } = yield* relayed
      const [cut, victim] = from === "client" ? [client, server] : [server, client]
      const error = once(victim, "error").then(([error]: Array<unknown>) => error)
      victim.resume()
      if (when === "under load") {
        void send(victim, 1, 8 * MIB).catch(() => {})
        void send(cut, 2, 8 * MIB).catch(() => {})
        yield* Effect.promise(() => once(cut.resume(), "data"))
      }
      if (when === "after it had ended its sending") {
        cut.end()
        yield* Effect.promise(() => once(victim, "end"))
        // RST behind a FIN: bytes arrive at a socket that is gone
        cut.destroy()
        const chatter = setInterval(() => victim.write("x"), 5)
        victim.once("close", () => clearInterval(chatter))
      } else cut.resetAndDestroy()
      assert.include(["ECONNRESET", "EPIPE"], Reflect.get(Object(yield* Effect.promise(() => error)), "code"))
      assert.strictEqual(yield* Fiber.join(fiber), "reset")
      assert.isTrue(gone())
    })
  )

  it.live("interrupted, resets both sides and leaves nothing", () =>
    Effect.gen(function* () {
      const { client, fiber, gone, server } = yield* relayed
      const errors = [client, server].map((socket) =>
        once(socket.resume(), "error").then(([error]: Array<unknown>) => error)
      )
      client.write("hello")
      yield* Effect.promise(() => once(server, "data"))
      yield* Fiber.interrupt(fiber)
      for (const error of yield* Effect.promise(() => Promise.all(errors))) {
        assert.strictEqual(Reflect.get(Object(error), "code"), "ECONNRESET")
      }
      yield* Effect.promise(() => eventually(gone, "both conduits closed"))
      assert.strictEqual(pausedConduits.size, 0)
    })
  )
})
