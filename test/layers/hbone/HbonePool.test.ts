/** The pool over tunnels that do as the test says. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { eventually } from "../../support/eventually.ts"
import { pooled } from "../../support/fakeTunnels.ts"

const joinAll = (asked: ReadonlyArray<{ readonly fiber: Fiber.Fiber<unknown, unknown> }>) =>
  Effect.all(
    asked.map(({ fiber }) => Fiber.join(fiber)),
    { concurrency: "unbounded" }
  )

describe("the pool of tunnels", () => {
  it.live("dials once for all who ask at the same time, and gives each a stream of that tunnel", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, succeed, tunnels } = yield* pooled()
      const asked = yield* Effect.all(Array.from({ length: 20 }, () => ask()))
      assert.lengthOf(dials, 1)
      yield* succeed(0)
      yield* joinAll(asked)
      assert.strictEqual(tunnels[0]?.streams, 20)
      yield* joinAll([yield* ask()])
      assert.lengthOf(dials, 1)
      assert.deepStrictEqual(counts, { opened: 1, closed: 0 })
    })
  )

  it.live("dials for each key by itself", () =>
    Effect.gen(function* () {
      const { ask, dials, succeed, tunnels } = yield* pooled()
      const first = yield* ask("a")
      const second = yield* ask("b")
      assert.lengthOf(dials, 2)
      yield* succeed(1)
      yield* joinAll([second])
      yield* succeed(0)
      yield* joinAll([first])
      assert.deepStrictEqual(
        tunnels.map(({ streams }) => streams),
        [1, 1]
      )
    })
  )

  it.live("tells everyone who waits that the dial has failed, and dials anew for the next", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, refuse, succeed } = yield* pooled()
      const asked = yield* Effect.all(Array.from({ length: 5 }, () => ask()))
      yield* refuse(0, "no route")
      for (const { fiber } of asked) {
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error.message, "connection failed: x: no route")
      }
      const next = yield* ask()
      assert.lengthOf(dials, 2)
      yield* succeed(1)
      yield* joinAll([next])
      assert.deepStrictEqual(counts, { opened: 1, closed: 0 })
    })
  )

  it.live("goes on with a dial when the one who asked first is interrupted", () =>
    Effect.gen(function* () {
      const { ask, dials, succeed, tunnels } = yield* pooled()
      const first = yield* ask()
      const second = yield* ask()
      yield* Fiber.interrupt(first.fiber)
      yield* succeed(0)
      yield* joinAll([second])
      assert.lengthOf(dials, 1)
      assert.strictEqual(tunnels[0]?.streams, 1)
    })
  )

  it.live("keeps the tunnel of a dial that nobody waits for any more", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, succeed } = yield* pooled()
      const only = yield* ask()
      yield* Fiber.interrupt(only.fiber)
      yield* succeed(0)
      yield* Effect.promise(() => eventually(() => counts.opened === 1, "the tunnel"))
      yield* joinAll([yield* ask()])
      assert.lengthOf(dials, 1)
    })
  )

  it.live("opens another tunnel when one is full, and offers the first again when it has room", () =>
    Effect.gen(function* () {
      const { ask, dials, succeed, tunnels } = yield* pooled({ capacity: 2 })
      const asked = yield* Effect.all([ask(), ask(), ask()])
      yield* succeed(0)
      yield* Effect.promise(() => eventually(() => dials.length === 2, "the second dial"))
      yield* succeed(1)
      yield* joinAll(asked)
      assert.deepStrictEqual(
        tunnels.map(({ streams }) => streams),
        [2, 1]
      )
      yield* asked[0].end
      yield* joinAll([yield* ask()])
      yield* joinAll([yield* ask()])
      assert.lengthOf(dials, 2)
      assert.deepStrictEqual(
        tunnels.map(({ streams }) => streams),
        [2, 2]
      )
    })
  )

  it.live("respects a limit that the peer lowers later", () =>
    Effect.gen(function* () {
      const { ask, dials, succeed, tunnels } = yield* pooled()
      const first = yield* ask()
      yield* succeed(0)
      yield* joinAll([first])
      tunnels[0]!.capacity = 1
      const second = yield* ask()
      assert.lengthOf(dials, 2)
      yield* succeed(1)
      yield* joinAll([second])
      assert.strictEqual(tunnels[0]!.streams, 1)
    })
  )

  it.live("tries another tunnel when one turns the request away; that one lives on", () =>
    Effect.gen(function* () {
      const { ask, closePool, counts, dials, succeed, tunnels } = yield* pooled()
      const first = yield* ask()
      yield* succeed(0)
      yield* joinAll([first])
      tunnels[0]!.refuses = 1
      const second = yield* ask()
      yield* succeed(1)
      yield* joinAll([second])
      assert.deepStrictEqual(
        tunnels.map(({ streams }) => streams),
        [1, 1]
      )
      // whether or not it is offered again, it is closed and counted when it goes
      tunnels[0]!.lose()
      yield* Effect.promise(() => eventually(() => counts.closed === 1 && tunnels[0]!.closed, "its end"))
      assert.lengthOf(dials, 2)
      yield* closePool
      assert.deepStrictEqual(counts, { opened: 2, closed: 2 })
    })
  )

  it.live("gives up on a peer whose every tunnel turns the request away", () =>
    Effect.gen(function* () {
      const { ask, dials, succeed, tunnels } = yield* pooled({ refuses: 100 })
      const { fiber } = yield* ask()
      for (let dial = 0; fiber.pollUnsafe() === undefined; dial++) {
        const asked = () => dials.length > dial || fiber.pollUnsafe() !== undefined
        yield* Effect.promise(() => eventually(asked, "a dial, or the end"))
        if (dials.length > dial) yield* succeed(dial)
      }
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.reason._tag, "Http2Failed")
      assert.include(error.message, "10.0.0.1:80")
      assert.isAtMost(tunnels.length, 4)
    })
  )

  it.live("gives up on a peer that closes each tunnel at once", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, succeed } = yield* pooled({ capacity: 0 })
      const { fiber } = yield* ask()
      for (let dial = 0; dial < 3; dial++) {
        yield* Effect.promise(() => eventually(() => dials.length > dial, "a dial"))
        yield* succeed(dial)
      }
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.include(error.message, "3 new tunnels took no stream")
      assert.strictEqual(counts.opened, 3)
    })
  )

  it.live("never offers a tunnel that is gone", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, succeed, tunnels } = yield* pooled()
      const first = yield* ask()
      yield* succeed(0)
      yield* joinAll([first])
      tunnels[0]!.lose()
      const second = yield* ask()
      assert.lengthOf(dials, 2)
      yield* succeed(1)
      yield* joinAll([second])
      yield* Effect.promise(() => eventually(() => tunnels[0]!.closed, "its end"))
      assert.deepStrictEqual(counts, { opened: 2, closed: 1 })
    })
  )

  it.live("lets a tunnel go when it has had no stream for a while, never one with streams", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, succeed, tunnels } = yield* pooled({ unusedReleaseMs: 20 })
      const busy = yield* ask("busy")
      const idle = yield* ask("idle")
      yield* Effect.all([succeed(0), succeed(1)])
      yield* joinAll([busy, idle])
      yield* idle.end
      yield* Effect.promise(() => eventually(() => tunnels[1]!.closed, "the idle tunnel's end"))
      assert.isFalse(tunnels[0]!.closed)
      assert.deepStrictEqual(counts, { opened: 2, closed: 1 })
      yield* busy.end
      yield* Effect.promise(() => eventually(() => tunnels[0]!.closed, "the other's end"))
      yield* ask("idle")
      assert.lengthOf(dials, 3)
    })
  )

  it.live(
    "closes, once its target is stale, a tunnel without streams at once, and one with streams after the last",
    () =>
      Effect.gen(function* () {
        const { ask, counts, retire, succeed, tunnels } = yield* pooled()
        const asked = yield* Effect.all([ask("gone"), ask("gone"), ask("stays"), ask("idle")])
        for (let dial = 0; dial < 3; dial++) yield* succeed(dial)
        yield* joinAll(asked)
        yield* asked[3].end
        yield* retire("idle")
        yield* Effect.promise(() => eventually(() => tunnels[2]!.closed, "the end of the idle one"))
        yield* retire("gone")
        assert.isFalse(tunnels[0]!.closed)
        yield* asked[0].end
        assert.isFalse(tunnels[0]!.closed)
        yield* asked[1].end
        yield* Effect.promise(() => eventually(() => tunnels[0]!.closed, "its end"))
        assert.isFalse(tunnels[1]!.closed)
        assert.deepStrictEqual(counts, { opened: 3, closed: 2 })
      })
  )

  it.live("gives no new stream of a stale target's tunnel: whoever asks now gets another", () =>
    Effect.gen(function* () {
      const { ask, dials, retire, succeed, tunnels } = yield* pooled()
      const before = yield* ask()
      yield* succeed(0)
      yield* joinAll([before])
      yield* retire("a")
      const after = yield* ask()
      assert.lengthOf(dials, 2)
      yield* succeed(1)
      yield* joinAll([after])
      assert.deepStrictEqual(
        tunnels.map(({ served }) => served),
        [1, 1]
      )
      // and that one is shared again
      yield* joinAll([yield* ask()])
      assert.strictEqual(tunnels[1]!.streams, 2)
      yield* before.end
      yield* Effect.promise(() => eventually(() => tunnels[0]!.closed, "the end of the old one"))
    })
  )

  it.live("lets those who wait for a dial have it when the target turns stale meanwhile, and nobody after them", () =>
    Effect.gen(function* () {
      const { ask, counts, dials, retire, succeed, tunnels } = yield* pooled()
      const before = yield* Effect.all([ask(), ask()])
      yield* retire("a")
      const after = yield* ask()
      assert.lengthOf(dials, 2)
      yield* succeed(0)
      yield* joinAll(before)
      assert.strictEqual(tunnels[0]!.streams, 2)
      yield* succeed(1)
      yield* joinAll([after])
      yield* before[0].end
      yield* before[1].end
      yield* Effect.promise(() => eventually(() => tunnels[0]!.closed && counts.closed === 1, "its end"))
    })
  )

  it.live("closes what a dial to a stale target brings when nobody waits for it any more", () =>
    Effect.gen(function* () {
      const { ask, counts, retire, succeed } = yield* pooled()
      const { fiber } = yield* ask()
      yield* retire("a")
      yield* Fiber.interrupt(fiber)
      yield* succeed(0)
      yield* Effect.promise(() => eventually(() => counts.closed === 1, "its end"))
      assert.strictEqual(counts.opened, 1)
    })
  )

  it.live("closes everything with its scope: tunnels, and a dial under way with all who wait for it", () =>
    Effect.gen(function* () {
      const { ask, closePool, counts, succeed, tunnels } = yield* pooled()
      const first = yield* ask("a")
      yield* succeed(0)
      yield* joinAll([first])
      const waiting = yield* Effect.all([ask("b"), ask("b")])
      yield* closePool
      assert.isTrue(tunnels[0]!.closed)
      assert.deepStrictEqual(counts, { opened: 1, closed: 1 })
      for (const { fiber } of waiting) assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
    })
  )
})
