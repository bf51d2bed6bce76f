import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { LOOPBACK_V4 } from "../../../src/domain/Address.ts"
import type { ConnectionRecord } from "../../../src/domain/connection/ConnectionRecord.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import { type ProxyError, proxyError, Reason } from "../../../src/domain/connection/ProxyError.ts"
import { type Authorise, Connections } from "../../../src/layers/runtime/Connections.ts"
import { newRecord } from "../../../src/programs/connection.ts"
import { longestStretch } from "../../support/longestStretch.ts"
import { workload } from "../../support/meshes.ts"

const record = (port: number): ConnectionRecord =>
  newRecord("source", { ip: LOOPBACK_V4, port }, { ip: LOOPBACK_V4, port: 80 }, 0)

/** The connections of a shard that ends with `scope`, and what was logged. */
const shard = Effect.gen(function* () {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const logged: Array<unknown> = []
  const log = Logger.layer([Logger.make(({ message }) => void logged.push([message].flat()[0]))])
  const context = yield* Layer.build(Connections.layer.pipe(Layer.provideMerge(log))).pipe(Scope.provide(scope))
  const connections = Context.get(context, Connections)
  const run = yield* connections.runner<never>()
  return { connections, run, logged, end: Scope.close(scope, Exit.void) }
})
const live = (connections: Connections["Service"]) => [...connections.live()].map(({ source }) => source.port)

describe("the connections of a shard", () => {
  it.effect("start at once, are registered for as long as they last, and release what they hold", () =>
    Effect.gen(function* () {
      const { connections, run } = yield* shard
      const done = Deferred.makeUnsafe<void>()
      let released = false
      run(
        Effect.gen(function* () {
          const own = record(1)
          connections.register(own)
          yield* Effect.addFinalizer(() => Effect.sync(() => connections.unregister(own)))
          yield* Effect.addFinalizer(() => Effect.sync(() => (released = true)))
          yield* Deferred.await(done)
        })
      )
      assert.deepStrictEqual(live(connections), [1])
      Deferred.doneUnsafe(done, Exit.void)
      yield* connections.drain(1_000)
      assert.deepStrictEqual(live(connections), [])
      assert.isTrue(released)
    })
  )

  it.effect("whose errors are accounted for are silent; a defect is logged, and ends no other", () =>
    Effect.gen(function* () {
      const { connections, logged, run } = yield* shard
      run(Effect.asVoid(Effect.andThen(connections.register(record(1)), Effect.never)))
      run(Effect.fail(proxyError(Reason.SelfCall())))
      assert.deepStrictEqual(logged, [])
      run(Effect.die(new Error("a bug")))
      assert.deepStrictEqual(logged, ["a connection's fiber died"])
      assert.deepStrictEqual(live(connections), [1])
    })
  )

  it.effect("may finish while the shard drains, and then nothing is waited for", () =>
    Effect.gen(function* () {
      const { connections, run } = yield* shard
      run(Effect.sleep("2 seconds"))
      const draining = yield* Effect.forkChild(connections.drain(10_000), { startImmediately: true })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(draining.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(draining)
    })
  )

  it.effect("that are left at the deadline are cut, with the drain as the reason", () =>
    Effect.gen(function* () {
      const { connections, run } = yield* shard
      const ends: Array<string> = []
      for (const port of [1, 2]) {
        run(
          connections
            .register(record(port))
            .pipe(Effect.tapError((error) => Effect.sync(() => ends.push(`${port}: ${error.message}`))))
        )
      }
      const draining = yield* Effect.forkChild(connections.drain(5_000), { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.deepStrictEqual(ends, [])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(draining)
      const text = "connection closed due to connection drain"
      assert.deepStrictEqual(ends, [`1: ${text}`, `2: ${text}`])
    })
  )

  it.effect("that do not obey, or had not got so far as to be registered, are interrupted soon after", () =>
    Effect.gen(function* () {
      const { connections, run } = yield* shard
      let interrupted = 0
      const stubborn = Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => (interrupted += 1))))
      const own = record(1)
      connections.register(own)
      run(stubborn.pipe(Effect.ensuring(Effect.sync(() => connections.unregister(own)))))
      run(stubborn)
      const draining = yield* Effect.forkChild(connections.drain(1_000), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(interrupted, 0)
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(draining)
      assert.strictEqual(interrupted, 2)
      assert.deepStrictEqual(live(connections), [])
    })
  )

  it.effect("end with their shard, and are waited for", () =>
    Effect.gen(function* () {
      const { end, run } = yield* shard
      let released = false
      run(Effect.addFinalizer(() => Effect.sync(() => (released = true))).pipe(Effect.andThen(Effect.never)))
      yield* end
      assert.isTrue(released)
    })
  )
})

/** Runs a connection from `port` that ends when it is cut, and leaves the registry then. */
const carried = (
  { connections, run }: Effect.Success<typeof shard>,
  own: ConnectionRecord,
  authorise?: Authorise,
  onCut: (error: ProxyError) => void = () => {}
) =>
  run(
    connections.register(own, authorise).pipe(
      Effect.tapError((error) => Effect.sync(() => onCut(error))),
      Effect.ensuring(Effect.sync(() => connections.unregister(own)))
    )
  )

const rejected = () => proxyError(Reason.PolicyRejected({ by: "shop/deny" }))

describe("the connections of a shard, judged again", () => {
  it.effect("are cut where they are no longer allowed, and left alone where they are, or have no judge", () =>
    Effect.gen(function* () {
      const own = yield* shard
      const ends: Array<string> = []
      const denied = new Set<number>()
      for (const port of [1, 2, 3, 4]) {
        const authorise = port === 4 ? undefined : () => (denied.has(port) ? rejected() : undefined)
        carried(own, record(port), authorise, ({ message }) => ends.push(`${port}: ${message}`))
      }
      yield* own.connections.rejudge
      assert.deepStrictEqual(live(own.connections), [1, 2, 3, 4])
      denied.add(2).add(4)
      yield* own.connections.rejudge
      yield* Effect.yieldNow
      assert.deepStrictEqual(ends, ["2: connection closed due to policy change"])
      assert.deepStrictEqual(live(own.connections), [1, 3, 4])
    })
  )

  it.effect("are named in the log as ztunnel does, once", () =>
    Effect.gen(function* () {
      const own = yield* shard
      const { connections, logged } = own
      const stuck = { ...record(1), destinationWorkload: workload("web", []) }
      connections.register(stuck, rejected)
      const known = { ...record(2), sourceIdentity: CART, destinationWorkload: workload("web", []) }
      connections.register(known, rejected)
      yield* connections.rejudge
      yield* connections.rejudge
      const why = "(Kubernetes//Pod/shop/web) closed because it's no longer allowed after a policy update"
      assert.deepStrictEqual(logged, [
        `connection 127.0.0.1:1(None)->127.0.0.1:80 ${why}`,
        `connection 127.0.0.1:2(${CART})->127.0.0.1:80 ${why}`
      ])
    })
  )

  it.effect("may come and go meanwhile", () =>
    Effect.gen(function* () {
      const own = yield* shard
      const { connections } = own
      const judged: Array<number> = []
      const records = Array.from({ length: 40 }, (_, index) => record(index))
      for (const [index, each] of records.entries()) {
        connections.register(each, () => {
          judged.push(index)
          // the one after it goes, and a new one comes
          if (index === 10) connections.unregister(records[11]!)
          if (index === 10) connections.register(record(100), () => void judged.push(100))
          return index === 20 ? rejected() : undefined
        })
      }
      yield* connections.rejudge
      assert.deepStrictEqual(
        judged,
        [...records.keys(), 100].filter((index) => index !== 11)
      )
    })
  )

  it.effect("do not stop the thread, be they thousands that stay or thousands that are cut", () =>
    Effect.gen(function* () {
      const own = yield* shard
      let verdict: ProxyError | undefined
      const authorise = () => {
        busy(0.01)
        return verdict
      }
      for (let port = 1; port <= 3_000; port += 1) carried(own, record(port), authorise, () => busy(0.2))
      assert.isBelow(yield* longestStretch(own.connections.rejudge), 30)
      assert.lengthOf(live(own.connections), 3_000)
      verdict = rejected()
      assert.isBelow(yield* longestStretch(own.connections.rejudge), 30)
      yield* Effect.yieldNow
      assert.deepStrictEqual(live(own.connections), [])
    })
  )
})

const CART = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "cart" })

const busy = (ms: number) => {
  const until = performance.now() + ms
  while (performance.now() < until);
}
