import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { formatIdentity, type Spiffe } from "../../../src/domain/Identity.ts"
import type { CertificateBundle } from "../../../src/domain/shard/Message.ts"
import { CertificateError } from "../../../src/layers/identity/CertificateError.ts"
import { Certificates } from "../../../src/layers/identity/Certificates.ts"
import { Issuer } from "../../../src/layers/identity/Issuer.ts"

const idOf = (serviceAccount: string) =>
  formatIdentity({ trustDomain: "cluster.local", namespace: "default", serviceAccount })
const [cart, pay] = [idOf("cart"), idOf("pay")]
const HOUR = 3_600_000

/** An issuer whose certificates are numbered and last a day, and that can be told to fail or to wait. */
const fakeIssuer = () => {
  const issuer = {
    asked: [] as Array<Spiffe>,
    failing: false,
    lifeMs: 24 * HOUR,
    gate: Effect.void as Effect.Effect<void>,
    changed: Stream.never,
    forget: () => Effect.void,
    issue: (identity: Spiffe): Effect.Effect<CertificateBundle, CertificateError> =>
      Effect.gen(function* () {
        const chain = `${identity} ${issuer.asked.push(identity)}`
        yield* issuer.gate
        if (issuer.failing) return yield* new CertificateError({ identity, detail: `${chain} failed` })
        const now = yield* Clock.currentTimeMillis
        return { identity, chain, key: "", roots: "", notBefore: now, notAfter: now + issuer.lifeMs }
      })
  }
  return issuer
}

const withIssuer = <A, E>(
  body: (issuer: ReturnType<typeof fakeIssuer>) => Effect.Effect<A, E, Certificates | Scope.Scope>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.suspend(() => {
    const issuer = fakeIssuer()
    const layer = Certificates.layer.pipe(Layer.provide(Layer.succeed(Issuer, Issuer.of(issuer))))
    return body(issuer).pipe(Effect.provide(layer), Effect.provide(Logger.layer([])))
  })

/** Everything that is pushed from now on. */
const follow = Effect.gen(function* () {
  const { rotations } = yield* Certificates
  const pushed = yield* Queue.unbounded<CertificateBundle>()
  yield* Effect.forkScoped(
    Stream.runForEach(rotations, (bundle) => Queue.offer(pushed, bundle)),
    { startImmediately: true }
  )
  return pushed
})

/** A clock whose wall time can be moved on while its timers stand still, as when a machine sleeps. */
const suspendable = <A, E, R>(body: (suspend: (ms: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Effect.service(Clock.Clock), (clock) => {
    let ahead = 0
    return Effect.provideService(
      body((ms) => (ahead += ms)),
      Clock.Clock,
      { ...clock, currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + ahead) }
    )
  })

describe("Certificates", () => {
  it.effect("one request per identity, however many ask", () =>
    withIssuer((issuer) =>
      Effect.gen(function* () {
        const { get } = yield* Certificates
        const open = yield* Deferred.make<void>()
        issuer.gate = Deferred.await(open)
        const asked = yield* Effect.forkChild(
          Effect.all([get(cart), get(pay), get(cart), get(cart)], { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        const impatient = yield* Effect.forkChild(get(cart), { startImmediately: true })
        yield* Fiber.interrupt(impatient)
        yield* Deferred.succeed(open, undefined)
        const bundles = yield* Fiber.join(asked)
        assert.deepStrictEqual(
          bundles.map(({ identity }) => identity),
          [cart, pay, cart, cart]
        )
        assert.deepStrictEqual([...issuer.asked].sort(), [cart, pay].sort())
        assert.strictEqual(yield* get(cart), bundles[0])
      })
    )
  )

  it.effect("renews at half of the life, and serves the old one meanwhile", () =>
    withIssuer((issuer) =>
      Effect.gen(function* () {
        const { get } = yield* Certificates
        const pushed = yield* follow
        const first = yield* get(cart)
        assert.strictEqual(yield* Queue.take(pushed), first)
        yield* TestClock.adjust(12 * HOUR - 1)
        assert.strictEqual(yield* get(cart), first)
        assert.lengthOf(issuer.asked, 1)

        const open = yield* Deferred.make<void>()
        issuer.gate = Deferred.await(open)
        yield* TestClock.adjust(1)
        assert.lengthOf(issuer.asked, 2)
        assert.strictEqual(yield* get(cart), first)
        yield* Deferred.succeed(open, undefined)
        const second = yield* Queue.take(pushed)
        assert.strictEqual(second.chain, `${cart} 2`)
        assert.strictEqual(yield* get(cart), second)
        yield* TestClock.adjust(12 * HOUR)
        assert.strictEqual((yield* Queue.take(pushed)).chain, `${cart} 3`)
      })
    )
  )

  it.effect("a machine that slept past the expiry gets a new one at the next use", () =>
    suspendable((suspend) =>
      withIssuer((issuer) =>
        Effect.gen(function* () {
          const { get } = yield* Certificates
          yield* get(cart)
          suspend(48 * HOUR)
          assert.strictEqual((yield* get(cart)).chain, `${cart} 2`)
          assert.lengthOf(issuer.asked, 2)
        })
      )
    )
  )

  it.effect("a machine that slept past half of the life renews within a minute, or at the next use", () =>
    suspendable((suspend) =>
      withIssuer((issuer) =>
        Effect.gen(function* () {
          const { get } = yield* Certificates
          const pushed = yield* follow
          const first = yield* get(cart)
          assert.strictEqual(yield* Queue.take(pushed), first)
          suspend(13 * HOUR)
          assert.lengthOf(issuer.asked, 1)
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* Queue.take(pushed)).chain, `${cart} 2`)
          const second = yield* get(cart)
          assert.notStrictEqual(second, first)

          const open = yield* Deferred.make<void>()
          issuer.gate = Deferred.await(open)
          suspend(13 * HOUR)
          assert.strictEqual(yield* get(cart), second)
          yield* Deferred.succeed(open, undefined)
          assert.strictEqual((yield* Queue.take(pushed)).chain, `${cart} 3`)
        })
      )
    )
  )

  it.effect("a failure without a certificate is told to all, at once, until the next try", () =>
    withIssuer((issuer) =>
      Effect.gen(function* () {
        const { get } = yield* Certificates
        issuer.failing = true
        const first = yield* Effect.flip(get(cart))
        assert.strictEqual(first.message, `no certificate for ${cart}: ${cart} 1 failed`)
        assert.strictEqual(yield* Effect.flip(get(cart)), first)
        yield* TestClock.adjust(799)
        assert.strictEqual(yield* Effect.flip(get(cart)), first)
        assert.lengthOf(issuer.asked, 1)
        issuer.failing = false
        yield* TestClock.adjust(401)
        assert.lengthOf(issuer.asked, 2)
        assert.strictEqual((yield* get(cart)).chain, `${cart} 2`)
      })
    )
  )

  it.effect("a failed renewal keeps the old one until it expires, and is tried again ever more rarely", () =>
    withIssuer((issuer) =>
      Effect.gen(function* () {
        const { get } = yield* Certificates
        const first = yield* get(cart)
        issuer.failing = true
        yield* TestClock.adjust(12 * HOUR)
        assert.lengthOf(issuer.asked, 2)
        yield* TestClock.adjust(HOUR)
        // doubling from a second, then one each 120 to 180 s
        assert.isAtLeast(issuer.asked.length, 2 + 7 + 18)
        assert.isAtMost(issuer.asked.length, 2 + 9 + 30)
        assert.strictEqual(yield* get(cart), first)
        yield* TestClock.adjust(11 * HOUR)
        assert.match((yield* Effect.flip(get(cart))).message, /failed$/)
        issuer.failing = false
        yield* TestClock.adjust("3 minutes")
        assert.notStrictEqual(yield* get(cart), first)
      })
    )
  )

  it.effect("an issuer whose clock is behind neither storms nor is believed", () =>
    withIssuer((issuer) =>
      Effect.gen(function* () {
        const { get } = yield* Certificates
        issuer.lifeMs = -HOUR
        assert.match((yield* Effect.flip(get(cart))).message, /just issued expired at .*check this machine's clock/)
        yield* TestClock.adjust(HOUR)
        assert.isAtMost(issuer.asked.length, 1 + 9 + 30)
      })
    )
  )

  it.effect("who waits when the layer closes is interrupted with it", () =>
    Effect.gen(function* () {
      const issuer = fakeIssuer()
      issuer.gate = Effect.never
      const scope = yield* Scope.make()
      const layer = Certificates.layer.pipe(Layer.provide(Layer.succeed(Issuer, Issuer.of(issuer))))
      const context = yield* Layer.buildWithScope(layer, scope)
      const asked = yield* Effect.forkChild(
        Effect.provide(
          Effect.flatMap(Certificates, ({ get }) => get(cart)),
          context
        ),
        {
          startImmediately: true
        }
      )
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(asked)))
    })
  )
})
