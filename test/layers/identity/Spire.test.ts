import * as Crypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
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
import { Issuer } from "../../../src/layers/identity/Issuer.ts"
import { layerSpire } from "../../../src/layers/identity/Spire.ts"
import { eventually } from "../../support/eventually.ts"
import { derOf, type FakeSpire, fakeSpire, svidOf } from "../../support/FakeSpire.ts"
import { makeTestCa, type TestCa } from "../../support/TestCa.ts"

const idOf = (serviceAccount: string, trustDomain = "example.org") =>
  formatIdentity({ trustDomain, namespace: "shop", serviceAccount })
const [cart, pay] = [idOf("cart"), idOf("pay")]

const ca = await makeTestCa()
const other = await makeTestCa({ name: "other root" })

const newSvid = async (identity: Spiffe, by: TestCa = ca) => svidOf(identity, await by.leaf({ uris: [identity] }))
const doing = <A>(step: () => Promise<A>) => Effect.promise(step)
const until = (check: () => boolean | Promise<boolean>, what: string | (() => string)) =>
  doing(() => eventually(check, what))

/** An issuer that asks this agent, and the queue of what it says has changed. */
const issuerOf = Effect.fnUntraced(function* (spire: FakeSpire, delegated: boolean) {
  const issuer = yield* Effect.provide(
    Issuer,
    yield* Layer.build(layerSpire({ socketPath: spire.socketPath, delegated }))
  )
  const changed = yield* Queue.unbounded<Spiffe>()
  yield* Effect.forkScoped(
    Stream.runForEach(issuer.changed, (identity) => Queue.offer(changed, identity)),
    { startImmediately: true }
  )
  const refusal = (identity: Spiffe) => Effect.map(Effect.flip(issuer.issue(identity)), ({ message }) => message)
  return { ...issuer, news: Queue.take(changed), quiet: Effect.map(Queue.size(changed), (n) => n === 0), refusal }
})

/** What is logged on the way is no part of the test. */
const quietly = <E>(name: string, body: () => Effect.Effect<void, E, Scope.Scope>) =>
  it.live(name, () => Effect.provide(body(), Logger.layer([])))

const leafOf = ({ chain }: { readonly chain: string }) => new Crypto.X509Certificate(chain)
const blocks = (pem: string) => pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0

describe("SPIRE, Workload API", () => {
  quietly("the SVID of this process is issued as PEM, with the agent's roots", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const intermediate = yield* doing(() => ca.intermediate())
      const leaf = yield* doing(() => intermediate.leaf({ uris: [cart] }))
      spire.state.svids = [yield* doing(() => newSvid(pay)), svidOf(cart, leaf, intermediate.certPem)]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem, other.certPem) }
      spire.state.federated = { "spiffe://elsewhere": derOf(intermediate.certPem) }
      const issuer = yield* issuerOf(spire, false)
      const bundle = yield* issuer.issue(cart)
      const certificate = leafOf(bundle)
      assert.strictEqual(certificate.subjectAltName, `URI:${cart}`)
      assert.isTrue(certificate.checkPrivateKey(Crypto.createPrivateKey(bundle.key)))
      assert.deepStrictEqual([blocks(bundle.chain), blocks(bundle.roots)], [2, 2])
      assert.strictEqual(bundle.roots, [ca, other].map(({ certPem }) => pemOf(certPem)).join(""))
      assert.strictEqual(bundle.notBefore, certificate.validFromDate.getTime())
      assert.strictEqual(bundle.notAfter, certificate.validToDate.getTime())
      assert.strictEqual(bundle.identity, cart)
      assert.strictEqual(leafOf(yield* issuer.issue(pay)).subjectAltName, `URI:${pay}`)
      // one stream for the process, as the agent's server wants it
      const [stream] = spire.open
      assert.deepStrictEqual(spire.streams(), ["workload"])
      assert.deepStrictEqual(stream?.metadata.get("workload.spiffe.io"), ["true"])
      assert.strictEqual(stream?.authority, "localhost")
    })
  )

  quietly("a renewed SVID, a changed bundle: told for whoever was issued one, once", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const [first, second, idle] = yield* doing(() => Promise.all([newSvid(cart), newSvid(cart), newSvid(pay)]))
      spire.state.svids = [first, idle]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, false)
      const before = yield* issuer.issue(cart)
      spire.push()
      spire.state.svids = [second, idle]
      spire.push()
      assert.strictEqual(yield* issuer.news, cart)
      const after = yield* issuer.issue(cart)
      assert.strictEqual(after.chain, pemOf(second.chain[0]!))
      assert.notStrictEqual(after.key, before.key)
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem, other.certPem) }
      spire.push()
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual(blocks((yield* issuer.issue(cart)).roots), 2)
      assert.isTrue(yield* issuer.quiet)
      yield* issuer.issue(pay)
      yield* issuer.forget(cart)
      spire.state.svids = [first, yield* doing(() => newSvid(pay))]
      spire.push()
      assert.strictEqual(yield* issuer.news, pay)
      assert.isTrue(yield* issuer.quiet)
      assert.strictEqual((yield* issuer.issue(cart)).chain, before.chain)
    })
  )

  quietly("while the agent is away its SVID is still given; when it is back the stream is too", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      spire.state.svids = [yield* doing(() => newSvid(cart))]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, false)
      const before = yield* issuer.issue(cart)
      yield* spire.stop
      assert.deepStrictEqual(yield* issuer.issue(cart), before)
      const renewed = yield* doing(() => newSvid(cart))
      spire.state.svids = [renewed]
      yield* spire.start
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).chain, pemOf(renewed.chain[0]!))
      // ended in order, as an agent does that is told to stop
      spire.endAll()
      yield* until(() => spire.streams().length === 1, "the stream is opened again")
      assert.isTrue(yield* issuer.quiet)
    })
  )

  quietly("an agent that starts after us", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      yield* spire.stop
      spire.state.svids = [yield* doing(() => newSvid(cart))]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, false)
      const issuing = yield* Effect.forkScoped(issuer.issue(cart), { startImmediately: true })
      yield* spire.start
      assert.strictEqual((yield* Fiber.join(issuing)).identity, cart)
      assert.isTrue(yield* issuer.quiet)
    })
  )

  it.effect("no agent, and one that says nothing: named after some seconds", () =>
    Effect.gen(function* () {
      const silent = yield* fakeSpire
      silent.state.silent = true
      const away = yield* fakeSpire
      yield* away.stop
      const asking = yield* Effect.forEach(
        [silent, away],
        (spire) => Effect.flatMap(issuerOf(spire, false), ({ refusal }) => refusal(cart)),
        { concurrency: "unbounded" }
      ).pipe(Effect.forkScoped({ startImmediately: true }))
      yield* until(() => silent.open.size === 1, "the stream is open")
      while (asking.pollUnsafe() === undefined) {
        yield* TestClock.adjust("500 millis")
        yield* doing(() => new Promise((resolve) => setImmediate(resolve)))
      }
      const [toSilent, toAway] = yield* Fiber.join(asking)
      assert.match(
        toSilent!,
        /^no certificate for spiffe:\/\/example\.org\/ns\/shop\/sa\/cart: .*says nothing for 4.5 s/
      )
      assert.match(toAway!, /agent\.sock: UNAVAILABLE.*is SPIRE's agent running on this node/)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  quietly("no registration entry is told at once, with advice; it is there as soon as the agent says so", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      spire.state.refusal = { code: 7, details: "no identity issued" }
      const issuer = yield* issuerOf(spire, false)
      const message = yield* issuer.refusal(cart)
      assert.include(message, "PERMISSION_DENIED: no identity issued")
      assert.include(message, `SPIRE needs a registration entry with SPIFFE id ${cart}`)
      spire.state.refusal = undefined
      spire.state.svids = [yield* doing(() => newSvid(cart))]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).identity, cart)
      // an entry that is deleted takes the certificate back, though not out of use: nothing is told
      spire.state.refusal = { code: 7, details: "no identity issued" }
      spire.push()
      yield* until(() => spire.streams().length === 0, "the stream ended")
      yield* until(
        async () => Exit.isFailure(await Effect.runPromiseExit(issuer.issue(cart))),
        "the agent's refusal is heard"
      )
      assert.isTrue(yield* issuer.quiet)
      spire.state.refusal = undefined
      assert.strictEqual(yield* issuer.news, cart)
    })
  )

  quietly("somebody else's SVIDs are listed", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      spire.state.svids = yield* doing(() => Promise.all([newSvid(pay), newSvid(idOf("cart", "elsewhere"))]))
      const message = yield* (yield* issuerOf(spire, false)).refusal(cart)
      assert.include(message, `"${pay}", "${idOf("cart", "elsewhere")}"`)
    })
  )

  quietly("an SVID that is taken back is no news: the certificate in use stays", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const [mine, theirs] = yield* doing(() => Promise.all([newSvid(cart), newSvid(pay)]))
      spire.state.svids = [mine, theirs]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, false)
      for (const identity of [cart, pay]) yield* issuer.issue(identity)
      spire.state.svids = [yield* doing(() => newSvid(pay))]
      spire.push()
      assert.strictEqual(yield* issuer.news, pay)
      assert.isTrue(yield* issuer.quiet)
      assert.include(yield* issuer.refusal(cart), `are of others ("${pay}")`)
    })
  )

  quietly("what the agent says must fit together", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const [mine, theirs] = yield* doing(() => Promise.all([newSvid(cart), newSvid(pay)]))
      const past = yield* doing(() => ca.leaf({ uris: [cart], notAfter: new Date(Date.now() - 60_000) }))
      const roots = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, false)
      const said = Effect.fnUntraced(function* (svid: typeof mine, bundles: typeof roots | {}, detail: string) {
        spire.state.svids = [svid]
        spire.state.bundles = bundles
        spire.push()
        yield* until(
          async () => (await Effect.runPromise(issuer.refusal(cart))).includes(detail),
          `a refusal that says: ${detail}`
        )
      })
      yield* until(() => spire.open.size === 1, "the stream is open")
      yield* said({ ...mine, chain: theirs.chain }, roots, `the SVID of SPIRE's agent: it is of "${pay}"`)
      yield* said({ ...mine, keyPem: theirs.keyPem }, roots, "its key: not the key of the certificate")
      yield* said(svidOf(cart, past), roots, "expired at")
      yield* said(mine, {}, "there is no certificate to trust")
      yield* said(mine, { "spiffe://example.org": derOf(ca.certPem).subarray(0, -1) }, "not DER at byte 0")
      yield* said(mine, { "spiffe://example.org": Buffer.from([0x30, 0]) }, "certificate 1 cannot be read")
      spire.state.bundles = roots
      spire.push()
      yield* until(
        async () => Exit.isSuccess(await Effect.runPromiseExit(issuer.issue(cart))),
        "what fits together is issued"
      )
    })
  )

  quietly("garbage instead of a message ends the stream, not the process", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      spire.state.svids = [yield* doing(() => newSvid(cart))]
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      spire.state.garbage = Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1])
      const issuer = yield* issuerOf(spire, false)
      const issuing = yield* Effect.forkScoped(issuer.issue(cart), { startImmediately: true })
      yield* until(() => spire.calls() >= 3, "asked again and again")
      spire.state.garbage = undefined
      assert.strictEqual((yield* Fiber.join(issuing)).identity, cart)
    })
  )

  quietly("with its scope the stream is gone", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const scope = yield* Scope.make()
      yield* Scope.provide(issuerOf(spire, false), scope)
      yield* until(() => spire.open.size === 1, "the stream is open")
      yield* Scope.close(scope, Exit.void)
      yield* until(() => spire.open.size === 0, "the stream is closed")
    })
  )
})

describe("SPIRE, Delegated Identity API", () => {
  quietly("a stream for each identity, found by namespace and service account; forgotten, it is closed", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const [ofCart, ofPay] = yield* doing(() => Promise.all([newSvid(cart), newSvid(pay)]))
      spire.state.entries = { "shop/cart": [ofPay, ofCart], "shop/pay": [ofPay] }
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      spire.state.federated = { "spiffe://elsewhere": derOf(other.certPem) }
      const issuer = yield* issuerOf(spire, true)
      const bundles = yield* Effect.all([issuer.issue(cart), issuer.issue(pay)], { concurrency: 2 })
      assert.deepStrictEqual(
        bundles.map(({ chain }) => chain),
        [ofCart, ofPay].map(({ chain }) => pemOf(chain[0]!))
      )
      assert.deepStrictEqual(
        bundles.map(({ roots }) => roots),
        [pemOf(ca.certPem), pemOf(ca.certPem)]
      )
      yield* issuer.issue(cart)
      assert.deepStrictEqual(spire.streams(), ["bundles", "svids shop/cart", "svids shop/pay"])
      assert.strictEqual(spire.calls(), 3)
      yield* issuer.forget(cart)
      yield* until(() => spire.streams().join() === "bundles,svids shop/pay", "its stream is closed")
      assert.strictEqual((yield* issuer.issue(cart)).chain, bundles[0].chain)
      assert.deepStrictEqual(spire.streams(), ["bundles", "svids shop/cart", "svids shop/pay"])
    })
  )

  quietly("a bundle alone that changes is told for all identities of its trust domain", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const abroad = idOf("cart", "elsewhere")
      const svids = yield* doing(() => Promise.all([newSvid(cart), newSvid(pay), newSvid(abroad, other)]))
      spire.state.entries = { "shop/cart": [svids[0], svids[2]], "shop/pay": [svids[1]] }
      // both forms of the key
      spire.state.bundles = { "example.org": derOf(ca.certPem), "spiffe://elsewhere": derOf(other.certPem) }
      const issuer = yield* issuerOf(spire, true)
      for (const identity of [cart, pay, abroad]) yield* issuer.issue(identity)
      assert.strictEqual((yield* issuer.issue(abroad)).roots, pemOf(other.certPem))
      spire.state.bundles = { ...spire.state.bundles, "example.org": derOf(ca.certPem, other.certPem) }
      spire.push()
      assert.deepStrictEqual([yield* issuer.news, yield* issuer.news].sort(), [cart, pay])
      assert.strictEqual(blocks((yield* issuer.issue(pay)).roots), 2)
      assert.isTrue(yield* issuer.quiet)
      const renewed = yield* doing(() => newSvid(pay))
      spire.state.entries = { ...spire.state.entries, "shop/pay": [renewed] }
      spire.push()
      assert.strictEqual(yield* issuer.news, pay)
      assert.strictEqual((yield* issuer.issue(pay)).chain, pemOf(renewed.chain[0]!))
    })
  )

  quietly("no entry, no bundle: told at once with the selectors; there as soon as the agent has them", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const issuer = yield* issuerOf(spire, true)
      const noEntry = yield* issuer.refusal(cart)
      assert.include(noEntry, "it has no SVID for k8s:ns:shop and k8s:sa:cart: SPIRE needs a registration entry")
      spire.state.bundles = { "spiffe://elsewhere": derOf(other.certPem) }
      spire.state.entries = { "shop/cart": [yield* doing(() => newSvid(cart))] }
      spire.push()
      yield* until(
        async () => (await Effect.runPromise(issuer.refusal(cart))).includes('other trust domains ("elsewhere")'),
        "no bundle of its trust domain"
      )
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      spire.push()
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).identity, cart)
    })
  )

  // the clock of the test stands still
  it.effect("a process that is no delegate is told what to do, at once", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      spire.state.refusal = { code: 7, details: "caller not configured as an authorized delegate" }
      const message = yield* (yield* issuerOf(spire, true)).refusal(cart)
      assert.include(message, "authorized_delegates")
      spire.state.refusal = { code: 12, details: "unknown service" }
      assert.include(yield* (yield* issuerOf(spire, true)).refusal(cart), "the agent's admin socket")
    }).pipe(Effect.provide(Logger.layer([])))
  )

  quietly("after the agent was away every stream is opened again, on a new connection", () =>
    Effect.gen(function* () {
      const spire = yield* fakeSpire
      const svids = yield* doing(() => Promise.all([newSvid(cart), newSvid(pay)]))
      spire.state.entries = { "shop/cart": [svids[0]], "shop/pay": [svids[1]] }
      spire.state.bundles = { "spiffe://example.org": derOf(ca.certPem) }
      const issuer = yield* issuerOf(spire, true)
      yield* Effect.all([issuer.issue(cart), issuer.issue(pay)], { concurrency: 2 })
      yield* spire.stop
      const renewed = yield* doing(() => newSvid(cart))
      spire.state.entries = { "shop/cart": [renewed], "shop/pay": [svids[1]] }
      yield* spire.start
      assert.strictEqual(yield* issuer.news, cart)
      yield* until(
        () => spire.streams().join() === "bundles,svids shop/cart,svids shop/pay",
        () => `all streams are back: ${spire.streams().join()}`
      )
      assert.isTrue(yield* issuer.quiet)
    })
  )
})

/** As Node writes it. */
const pemOf = (pem: string) => new Crypto.X509Certificate(pem).toString()
