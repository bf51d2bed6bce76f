/** The relay between simulated conduits, under every order of events that the scripts and the seeds bring about. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { relay, type Tally } from "../../../src/layers/os/Relay.ts"
import { integer, oneOf } from "../../support/hostileInput.ts"
import { type Act, patternAt, PipeConduit, type Script, Turns } from "../../support/PipeConduit.ts"

const middle: Arbitrary.Arbitrary<Act> = Arbitrary.flatMap(
  oneOf(["data", "data", "wait"]),
  (kind): Arbitrary.Arbitrary<Act> =>
    kind === "data"
      ? Arbitrary.map(oneOf([1, 2, 17, 300, 4096, 20_000]), (data) => ({ data }))
      : Arbitrary.map(integer(0, 6), (wait) => ({ wait }))
)
const acts = Arbitrary.array(middle, { maxLength: 12 })
const takes = Arbitrary.array(oneOf([0, 1, 50, 1_000, 5_000, 100_000]), { maxLength: 5 })
/** Some bytes must be taken in the end. */
const script = (last: Act): Arbitrary.Arbitrary<Script> =>
  Arbitrary.map(Arbitrary.all([acts, takes, oneOf([0, 10_000])]), ([acts, takes, room]) => ({
    acts: [...acts, last],
    room,
    takes: takes.length === 0 ? [] : [...takes, 700]
  }))
const RUNS = { arbitrary: { runs: 150, size: 12 } }

/** Counts what the relay tells. */
const tallyOf = (tally: { received: number; sent: number }): Tally => ({
  received: (bytes) => (tally.received += bytes),
  sent: (bytes) => (tally.sent += bytes)
})

/** Relays between a downstream and an upstream that follow their scripts, until nothing is due. */
const run = Effect.fnUntraced(function* (seed: number, down: Script, up: Script, stopAfter = Number.POSITIVE_INFINITY) {
  const turns = new Turns(seed)
  const [downstream, upstream] = [new PipeConduit(1, turns, down), new PipeConduit(2, turns, up)]
  const tally = { received: 0, sent: 0 }
  const fiber = yield* Effect.forkChild(relay({ downstream, upstream }, tallyOf(tally)), { startImmediately: true })
  for (let turn = 0; turn < stopAfter && turns.next(); turn++);
  if (turns.pending) yield* Fiber.interrupt(fiber)
  while (turns.next());
  return { downstream, upstream, tally, exit: yield* Fiber.await(fiber) }
})

const bytesIn = ({ acts }: Script): number =>
  acts.reduce((sum, act) => sum + (typeof act === "object" && "data" in act ? act.data : 0), 0)

/** The first bytes of what the other side sent, and nothing else. */
const isPrefix = (received: Buffer, stream: number) =>
  received.every((byte, index) => byte === patternAt(stream, index))

describe("a relay between simulated conduits", () => {
  it.effect.prop(
    "delivers exactly what was sent, both ways, whatever the chunks, pauses and half-closes",
    [integer(0, 1e9), script("end"), script("end")],
    ([seed, down, up]) =>
      Effect.gen(function* () {
        const { downstream, exit, tally, upstream } = yield* run(seed, down, up)
        assert.deepInclude(exit, { _tag: "Success", value: "ended" })
        assert.strictEqual(upstream.received.length, downstream.sent)
        assert.strictEqual(downstream.received.length, upstream.sent)
        assert.isTrue(isPrefix(upstream.received, 1) && isPrefix(downstream.received, 2))
        assert.deepStrictEqual(tally, { received: downstream.sent, sent: upstream.sent })
        assert.deepStrictEqual([downstream.receivedEnd, upstream.receivedEnd], ["end", "end"])
        assert.isTrue(downstream.closed && upstream.closed)
      }),
    RUNS
  )

  it.effect.prop(
    "hands on a reset as a reset, and what arrived before it is a true beginning",
    [integer(0, 1e9), script("reset"), script("end"), oneOf([true, false])],
    ([seed, cut, other, fromUpstream]) =>
      Effect.gen(function* () {
        const { downstream, exit, tally, upstream } = yield* run(
          seed,
          fromUpstream ? other : cut,
          fromUpstream ? cut : other
        )
        assert.deepInclude(exit, { _tag: "Success", value: "reset" })
        const [victim, cutStream] = fromUpstream ? [downstream, 2] : [upstream, 1]
        assert.strictEqual(victim.receivedEnd, "reset")
        assert.isTrue(isPrefix(victim.received, cutStream))
        assert.deepStrictEqual(tally, { received: downstream.sent, sent: upstream.sent })
        assert.isTrue(downstream.closed && upstream.closed)
      }),
    RUNS
  )

  it.effect.prop(
    "interrupted at any moment, resets both sides and leaves neither open",
    [integer(0, 1e9), script("end"), script("end"), integer(0, 60)],
    ([seed, down, up, turn]) =>
      Effect.gen(function* () {
        const { downstream, exit, upstream } = yield* run(seed, down, up, turn)
        assert.isTrue(downstream.closed && upstream.closed)
        if (exit._tag === "Success") return
        for (const [side, stream, sender] of [
          [upstream, 1, down],
          [downstream, 2, up]
        ] as const) {
          assert.isTrue(isPrefix(side.received, stream))
          // an orderly end may follow only what is complete; everyone else sees that it was cut
          const complete = side.received.length === bytesIn(sender)
          assert.isTrue(side.receivedEnd === "reset" || (side.receivedEnd === "end" && complete), side.receivedEnd)
        }
      }),
    RUNS
  )

  it.effect.each(["downstream", "upstream"] as const)("fails, and resets the other side, when %s breaks", (side) =>
    Effect.gen(function* () {
      const broken: Script = { acts: [{ data: 100 }, { fail: "no route to host" }], takes: [] }
      const other: Script = { acts: [{ data: 5 }, "end"], takes: [] }
      const down = side === "downstream"
      const { downstream, exit, upstream } = yield* run(1, down ? broken : other, down ? other : broken)
      assert.strictEqual((down ? upstream : downstream).receivedEnd, "reset")
      assert.isTrue(downstream.closed && upstream.closed)
      const text = down ? "send: no route to host" : "receive: no route to host"
      assert.isTrue(exit._tag === "Failure" && Cause.pretty(exit.cause).includes(text))
    })
  )

  it.effect("sends what came early before everything else, and counts it", () =>
    Effect.gen(function* () {
      const turns = new Turns(3)
      const [downstream, upstream] = [
        new PipeConduit(1, turns, { acts: [{ data: 10 }, "end"], takes: [] }),
        new PipeConduit(2, turns, { acts: ["end"], takes: [3] })
      ]
      const tally = { received: 0, sent: 0 }
      const fiber = yield* Effect.forkChild(
        relay({ downstream, upstream, early: Buffer.from("early") }, tallyOf(tally)),
        { startImmediately: true }
      )
      while (turns.next());
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
      assert.strictEqual(String(upstream.received.subarray(0, 5)), "early")
      assert.isTrue(isPrefix(upstream.received.subarray(5), 1))
      assert.strictEqual(tally.received, 15)
    })
  )
})
