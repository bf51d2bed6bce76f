import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import type { CertificateBundle, FromShard, ToShard } from "../../../src/domain/shard/Message.ts"
import { CertificateReplica } from "../../../src/layers/identity/CertificateReplica.ts"
import { ShardLink } from "../../../src/layers/runtime/ShardLink.ts"

const identity = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "client" })
const other = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "other" })
const bundle = (chain: string): CertificateBundle => ({
  identity,
  chain,
  key: "",
  roots: "",
  notBefore: 0,
  notAfter: 3_600_000
})
const asked = { _tag: "NeedCertificate", identity } as const

const build = Effect.gen(function* () {
  const sent: Array<FromShard> = []
  const link = Layer.effect(
    ShardLink,
    Effect.map(Queue.unbounded<ToShard>(), (inbox) => ({ inbox, send: (message) => void sent.push(message) }))
  )
  const context = yield* Layer.build(Layer.provide(CertificateReplica.layer, link))
  const replica = Context.get(context, CertificateReplica)
  const get = (who = identity) => Effect.forkChild(replica.get(who), { startImmediately: true })
  return { replica, sent, get }
})

describe("a shard's certificates", () => {
  it.effect("are asked for once at first use, and everyone who waits gets the answer", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      const waiting = [yield* get(), yield* get(), yield* get()]
      assert.deepStrictEqual(sent, [asked])
      replica.put(bundle("first"))
      for (const fiber of waiting) assert.strictEqual((yield* Fiber.join(fiber)).chain, "first")
    })
  )

  it.effect("are at hand from then on, and replaced by what the main thread pushes", () =>
    Effect.gen(function* () {
      const { replica, sent } = yield* build
      replica.put(bundle("first"))
      const first = yield* replica.get(identity)
      assert.strictEqual(yield* replica.get(identity), first)
      replica.put(bundle("renewed"))
      assert.strictEqual((yield* replica.get(identity)).chain, "renewed")
      assert.deepStrictEqual(sent, [])
    })
  )

  it.effect("that cannot be had fail for those who wait, and are asked for anew by the next", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      const waiting = yield* get()
      replica.fail(identity, "the CA says no")
      const error = yield* Effect.flip(Fiber.join(waiting))
      assert.strictEqual(error.message, `identity error: no certificate for ${identity}: the CA says no`)
      const next = yield* get()
      assert.deepStrictEqual(sent, [asked, asked])
      replica.put(bundle("at last"))
      assert.strictEqual((yield* Fiber.join(next)).chain, "at last")
    })
  )

  it.effect("that could not be renewed leave the old one in use", () =>
    Effect.gen(function* () {
      const { replica } = yield* build
      replica.put(bundle("first"))
      replica.fail(identity, "the CA says no")
      assert.strictEqual((yield* replica.get(identity)).chain, "first")
    })
  )

  it.effect("are waited for 5 s, not longer; an answer that comes late is kept", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      const waiting = yield* get()
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.include((yield* Effect.flip(Fiber.join(waiting))).message, "no answer within 5 s")
      replica.put(bundle("late"))
      assert.strictEqual((yield* replica.get(identity)).chain, "late")
      assert.deepStrictEqual(sent, [asked])
    })
  )

  it.effect("of one identity do not keep another's connections waiting", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      const waiting = yield* get(other)
      const first = yield* get()
      replica.put(bundle("first"))
      yield* Fiber.join(first)
      assert.isUndefined(waiting.pollUnsafe())
      assert.lengthOf(sent, 2)
    })
  )

  it.effect("are still coming when one of those who wait is interrupted", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      const first = yield* get()
      const second = yield* get()
      yield* Fiber.interrupt(first)
      replica.put(bundle("first"))
      assert.strictEqual((yield* Fiber.join(second)).chain, "first")
      assert.lengthOf(sent, 1)
    })
  )

  it.effect("that have expired are asked for again", () =>
    Effect.gen(function* () {
      const { get, replica, sent } = yield* build
      replica.put(bundle("first"))
      yield* TestClock.adjust("1 hour")
      const waiting = yield* get()
      assert.deepStrictEqual(sent, [asked])
      replica.put({ ...bundle("renewed"), notAfter: 7_200_000 })
      assert.strictEqual((yield* Fiber.join(waiting)).chain, "renewed")
    })
  )
})
