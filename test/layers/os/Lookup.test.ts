/** Names over a resolver that answers when the test says so, and one that is the system's. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Lookup, makeLookup } from "../../../src/layers/os/Lookup.ts"

/** The questions that were put to the system, each to be answered once. */
const slow = () => {
  const asked: Array<{ readonly hostname: string; readonly answer: (addresses: ReadonlyArray<string>) => void }> = []
  const lookup = makeLookup((hostname, answer) => void asked.push({ hostname, answer }))
  const ask = (hostname: string) => Effect.forkChild(lookup.addresses(hostname), { startImmediately: true })
  return { asked, ask, lookup, hostnames: () => asked.map(({ hostname }) => hostname) }
}

/** Answers at once, each name with an address of its own. */
const quick = () => {
  const asked: Array<string> = []
  const lookup = makeLookup((hostname, answer) => answer([`10.0.0.${asked.push(hostname) % 250}`]))
  return { asked, lookup }
}

const addressesOf = (fiber: Fiber.Fiber<ReadonlyArray<string>>) => Effect.map(Fiber.join(fiber), (all) => [...all])

describe("a lookup", () => {
  it.effect("answers all addresses, each once, in their order, in canonical form and without zones", () =>
    Effect.gen(function* () {
      const { ask, asked } = slow()
      const asking = yield* ask("web.example.com")
      asked[0]!.answer(["2001:DB8::1", "10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"])
      assert.deepStrictEqual(yield* addressesOf(asking), ["2001:db8::1", "10.0.0.1", "fe80::1"])
    })
  )

  it.effect("shares a question that is under way", () =>
    Effect.gen(function* () {
      const { ask, asked, hostnames } = slow()
      const all = yield* Effect.all([ask("a"), ask("b"), ask("a"), ask("a")])
      assert.deepStrictEqual(hostnames(), ["a", "b"])
      asked[0]!.answer(["10.0.0.1"])
      asked[1]!.answer(["10.0.0.2"])
      const answers = yield* Effect.forEach(all, addressesOf)
      assert.deepStrictEqual(answers, [["10.0.0.1"], ["10.0.0.2"], ["10.0.0.1"], ["10.0.0.1"]])
    })
  )

  it.effect("keeps an answer for 15 seconds", () =>
    Effect.gen(function* () {
      const { asked, lookup } = quick()
      assert.deepStrictEqual([...(yield* lookup.addresses("a"))], ["10.0.0.1"])
      yield* TestClock.adjust("14999 millis")
      assert.deepStrictEqual([...(yield* lookup.addresses("a"))], ["10.0.0.1"])
      assert.lengthOf(asked, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([...(yield* lookup.addresses("a"))], ["10.0.0.2"])
    })
  )

  it.effect("counts those seconds from the answer, not from the question", () =>
    Effect.gen(function* () {
      const { ask, asked, lookup } = slow()
      const asking = yield* ask("a")
      yield* TestClock.adjust("4 seconds")
      asked[0]!.answer(["10.0.0.1"])
      yield* Fiber.join(asking)
      yield* TestClock.adjust("14 seconds")
      assert.deepStrictEqual([...(yield* lookup.addresses("a"))], ["10.0.0.1"])
      assert.lengthOf(asked, 1)
    })
  )

  it.effect("keeps no failure", () =>
    Effect.gen(function* () {
      const { ask, asked } = slow()
      const first = yield* ask("a")
      asked[0]!.answer([])
      assert.deepStrictEqual(yield* addressesOf(first), [])
      const second = yield* ask("a")
      assert.lengthOf(asked, 2)
      asked[1]!.answer(["10.0.0.1"])
      assert.deepStrictEqual(yield* addressesOf(second), ["10.0.0.1"])
    })
  )

  it.effect("keeps 4096 names, and forgets the oldest answer first", () =>
    Effect.gen(function* () {
      const { asked, lookup } = quick()
      for (let index = 0; index <= 4096; index++) yield* lookup.addresses(`n${index}`)
      const before = asked.length
      yield* lookup.addresses("n1")
      yield* lookup.addresses("n4096")
      assert.lengthOf(asked, before)
      yield* lookup.addresses("n0")
      assert.strictEqual(asked.at(-1), "n0")
    })
  )

  it.effect("ends without an address after 5 seconds; the answer that comes late is kept all the same", () =>
    Effect.gen(function* () {
      const { ask, asked, lookup } = slow()
      const asking = yield* ask("a")
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* addressesOf(asking), [])
      asked[0]!.answer(["10.0.0.1"])
      assert.deepStrictEqual([...(yield* lookup.addresses("a"))], ["10.0.0.1"])
      assert.lengthOf(asked, 1)
    })
  )

  it.effect("can be interrupted; others who wait for the same name are not", () =>
    Effect.gen(function* () {
      const { ask, asked } = slow()
      const first = yield* ask("a")
      const second = yield* ask("a")
      yield* Fiber.interrupt(first)
      asked[0]!.answer(["10.0.0.1"])
      assert.deepStrictEqual(yield* addressesOf(second), ["10.0.0.1"])
    })
  )

  it.effect("asks no more than 256 things at once, and those who wait for one of them may be any number", () =>
    Effect.gen(function* () {
      const { ask, asked } = slow()
      for (let index = 0; index < 256; index++) yield* ask(`n${index}`)
      assert.deepStrictEqual(yield* addressesOf(yield* ask("one too many")), [])
      assert.lengthOf(asked, 256)
      const joined = yield* ask("n7")
      asked[7]!.answer(["10.0.0.1"])
      assert.deepStrictEqual(yield* addressesOf(joined), ["10.0.0.1"])
    })
  )

  it.live("is, unless a test says otherwise, the system's", () =>
    Effect.gen(function* () {
      const lookup = yield* Lookup
      const addresses: ReadonlyArray<string> = yield* lookup.addresses("localhost")
      assert.isTrue(addresses.includes("127.0.0.1") || addresses.includes("::1"))
      assert.lengthOf(yield* lookup.addresses("no-such-name.invalid"), 0)
    })
  )
})
