/** One connection's way from "opened" to "closed", between simulated conduits: counted and logged exactly once. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { LOOPBACK_V4 } from "../../src/domain/Address.ts"
import type { AccessLine } from "../../src/domain/connection/AccessLine.ts"
import { type ProxyError, proxyError, Reason } from "../../src/domain/connection/ProxyError.ts"
import type { Slot } from "../../src/domain/shard/MetricLayout.ts"
import { AccessLog } from "../../src/layers/observe/Logging.ts"
import { SharedMetrics, ShardMetrics } from "../../src/layers/observe/Metrics.ts"
import { type Authorise, Connections } from "../../src/layers/runtime/Connections.ts"
import { makeCarry, newRecord } from "../../src/programs/connection.ts"
import { PipeConduit, type Script, Turns } from "../support/PipeConduit.ts"

/** A shard without sockets; `carried` runs one connection between two scripts. */
const shard = Effect.gen(function* () {
  const lines: Array<AccessLine> = []
  const access = Layer.succeed(AccessLog, {
    enabled: (level) => level !== "debug",
    write: (line) => void lines.push(line)
  })
  const shared = Context.get(yield* Layer.build(SharedMetrics.layer(1)), SharedMetrics)
  const context = yield* Layer.build(Layer.mergeAll(access, Connections.layer, ShardMetrics.layer(shared.layout, 0, 1)))
  const carry = yield* Effect.provideContext(makeCarry, context)
  const record = newRecord("source", { ip: LOOPBACK_V4, port: 1 }, { ip: LOOPBACK_V4, port: 80 }, 0)
  const turns = new Turns(1)
  const carried = Effect.fnUntraced(function* (
    down: Script,
    up: Script | Effect.Effect<never, ProxyError>,
    authorise?: Authorise
  ) {
    const downstream = new PipeConduit(1, turns, down)
    const upstream = new PipeConduit(2, turns, "acts" in up ? up : END)
    const reach = "acts" in up ? Effect.succeed({ downstream, upstream }) : up
    const fiber = yield* Effect.forkChild(Effect.scoped(carry(record, reach, authorise)), {
      startImmediately: true
    })
    return { fiber, downstream, upstream }
  })
  const counts = (...slots: ReadonlyArray<Slot>) => slots.map((slot) => shared.total(slot))
  return { lines, record, turns, carried, counts, connections: Context.get(context, Connections) }
})
const END: Script = { acts: ["end"], takes: [] }
const data = (bytes: number, ...rest: Script["acts"]): Script => ({ acts: [{ data: bytes }, ...rest], takes: [] })
const OPEN = ["connectionsOpened", "connectionsClosed", "connectionsFailed", "connectionsOpen"] as const
const errorOf = (line: AccessLine | undefined) => line?.fields.find(([key]) => key === "error")?.[1]

describe("a connection that is carried", () => {
  it.effect("is open while it lasts, its bytes counted as they pass, and complete in the end", () =>
    Effect.gen(function* () {
      const { carried, connections, counts, lines, record, turns } = yield* shard
      const { fiber } = yield* carried(data(11, { wait: 100 }, "end"), data(22, "end"))
      for (let turn = 0; turn < 20; turn++) turns.next()
      assert.deepStrictEqual(counts(...OPEN), [1, 0, 0, 1])
      assert.deepStrictEqual(counts("bytesReceived", "bytesSent"), [11, 22])
      assert.deepStrictEqual([...connections.live()], [record])
      assert.deepStrictEqual(lines, [])
      while (turns.next());
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 0, 0])
      assert.deepStrictEqual([...connections.live()], [])
      assert.lengthOf(lines, 1)
      assert.strictEqual(lines[0]!.level, "info")
      assert.includeDeepMembers(
        [...lines[0]!.fields],
        [
          ["bytes_sent", 11],
          ["bytes_recv", 22]
        ]
      )
    })
  )

  it.effect("and reset is complete as well, as ztunnel sees it", () =>
    Effect.gen(function* () {
      const { carried, counts, lines, record, turns } = yield* shard
      const { fiber } = yield* carried(data(5, "reset"), data(0))
      while (turns.next());
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 0, 0])
      assert.strictEqual(lines[0]!.level, "info")
      assert.isTrue(record.reset)
    })
  )

  it.effect("has failed when its destination is not reached", () =>
    Effect.gen(function* () {
      const { carried, counts, lines } = yield* shard
      const refused = proxyError(Reason.ConnectFailed({ address: "127.0.0.1:80", detail: "refused" }))
      const { fiber } = yield* carried(END, Effect.fail(refused))
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), refused)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 1, 0])
      assert.strictEqual(lines[0]!.level, "error")
      assert.strictEqual(errorOf(lines[0]), "connection failed: 127.0.0.1:80: refused")
    })
  )

  it.effect("is closed and logged even when something dies that must not", () =>
    Effect.gen(function* () {
      const { carried, counts, lines } = yield* shard
      const { fiber } = yield* carried(END, Effect.die(new Error("a bug")))
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(counts("connectionsOpened", "connectionsClosed", "connectionsOpen"), [1, 1, 0])
      assert.lengthOf(lines, 1)
    })
  )

  it.effect.each(["while it reaches", "while it relays"])(
    "is cut by a drain %s, and both sides see that it was",
    (when) =>
      Effect.gen(function* () {
        const { carried, connections, counts, lines, turns } = yield* shard
        const { downstream, fiber, upstream } = yield* carried(
          data(3),
          when === "while it reaches" ? Effect.never : data(3)
        )
        while (turns.next());
        yield* connections.drain(0)
        while (turns.next());
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(error.reason._tag, "ClosedFromDrain")
        if (when === "while it relays")
          assert.deepStrictEqual([downstream.receivedEnd, upstream.receivedEnd], ["reset", "reset"])
        assert.deepStrictEqual(counts(...OPEN), [1, 1, 0, 0])
        assert.strictEqual(errorOf(lines[0]), "connection closed due to connection drain")
      })
  )

  it.effect("that is interrupted is closed, logged once, and leaves neither side open", () =>
    Effect.gen(function* () {
      const { carried, counts, lines, turns } = yield* shard
      const { downstream, fiber, upstream } = yield* carried(data(3), data(3))
      while (turns.next());
      yield* Fiber.interrupt(fiber)
      assert.isTrue(downstream.closed && upstream.closed)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 0, 0])
      assert.lengthOf(lines, 1)
    })
  )

  it.effect("that is not allowed is opened, closed and logged, and reaches nobody", () =>
    Effect.gen(function* () {
      const { carried, connections, counts, lines } = yield* shard
      const rejected = proxyError(Reason.PolicyRejected({ by: "shop/nobody" }))
      const reached = Effect.die(new Error("it was reached"))
      const { fiber } = yield* carried(END, reached, () => rejected)
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), rejected)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 1, 0])
      assert.deepStrictEqual([...connections.live()], [])
      const text = "connection closed due to policy rejection: explicitly denied by: shop/nobody"
      assert.deepStrictEqual(lines.map(errorOf), [text])
    })
  )

  it.effect("is judged again when the mesh has changed, and both sides see that it ended", () =>
    Effect.gen(function* () {
      const { carried, connections, counts, lines, turns } = yield* shard
      let now: ProxyError | undefined
      const { downstream, fiber, upstream } = yield* carried(data(3), data(3), () => now)
      while (turns.next());
      yield* connections.rejudge
      assert.deepStrictEqual(counts(...OPEN), [1, 0, 0, 1])
      now = proxyError(Reason.PolicyRejected({ by: "shop/nobody" }))
      yield* connections.rejudge
      while (turns.next());
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.reason._tag, "PolicyChanged")
      assert.deepStrictEqual([downstream.receivedEnd, upstream.receivedEnd], ["reset", "reset"])
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 1, 0])
      assert.deepStrictEqual(lines.map(errorOf), ["connection closed due to policy change"])
    })
  )

  it.effect("is closed and logged even when its judge throws", () =>
    Effect.gen(function* () {
      const { carried, connections, counts, lines } = yield* shard
      const { fiber } = yield* carried(data(3), data(3), () => {
        throw new Error("a bug")
      })
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(counts(...OPEN), [1, 1, 1, 0])
      assert.deepStrictEqual([...connections.live()], [])
      assert.deepStrictEqual(lines.map(errorOf), ["internal error: this is a bug of weft"])
    })
  )
})
