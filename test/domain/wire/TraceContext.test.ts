import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { formatTraceparent, makeTraceContext, parseTraceparent } from "../../../src/domain/wire/TraceContext.ts"
import { anyText, bytes, integer, mutated, textOf, THOROUGH } from "../../support/hostileInput.ts"

/** Numbers in [0, 1) that make these 32-bit words, one after the other. */
const drawn = (words: Uint32Array) => {
  let next = 0
  return () => words[next++]! / 2 ** 32
}
const octets = bytes({ minLength: 24, maxLength: 24 })
const context = Arbitrary.map(Arbitrary.all([octets, integer(0, 255)]), ([octets, flags]) => ({
  ...makeTraceContext(drawn(new Uint32Array(Uint8Array.from(octets).buffer))),
  flags
}))

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
const SPAN = "00f067aa0ba902b7"

describe("traceparent", () => {
  it.prop(
    "is read back as it was written",
    [context],
    ([context]) => {
      assert.deepStrictEqual(parseTraceparent(formatTraceparent(context)), context)
    },
    THOROUGH
  )

  it.prop("survives anything", [anyText], ([text]) => assert.isUndefined(parseTraceparent(text)), THOROUGH)

  it.prop(
    "survives 55 characters with any number of dashes",
    [textOf("0123456789abcdef--", { minLength: 55, maxLength: 55 })],
    ([text]) => {
      assert.doesNotThrow(() => parseTraceparent(text))
    },
    THOROUGH
  )

  it.prop(
    "gives only well-formed ids for mutated headers",
    [mutated(Arbitrary.map(context, formatTraceparent))],
    ([text]) => {
      const parsed = parseTraceparent(text)
      if (parsed === undefined) return
      assert.match(formatTraceparent(parsed), /^00-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/)
      assert.isTrue(text.startsWith(formatTraceparent(parsed).slice(2), 2))
    },
    THOROUGH
  )

  it("follows the standard", () => {
    assert.deepStrictEqual(parseTraceparent(`00-${TRACE}-${SPAN}-01`), { traceId: TRACE, spanId: SPAN, flags: 1 })
    assert.deepStrictEqual(parseTraceparent(`cc-${TRACE}-${SPAN}-00-more`), { traceId: TRACE, spanId: SPAN, flags: 0 })
    const wrong = [
      `00-${TRACE}-${SPAN}-01-more`,
      `ff-${TRACE}-${SPAN}-01`,
      `cc-${TRACE}-${SPAN}-01more`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE}${SPAN}--01-`,
      "0".repeat(55),
      "-".repeat(55)
    ]
    for (const text of wrong) assert.isUndefined(parseTraceparent(text), text)
  })
})

describe("makeTraceContext", () => {
  it("takes its ids from what was drawn, flags 0", () => {
    const words = Uint32Array.of(0x01020304, 0x05060708, 0x090a0b0c, 0x0d0e0f10, 0x11121314, 0x15161718)
    const text = formatTraceparent(makeTraceContext(drawn(words)))
    assert.strictEqual(text, "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-00")
  })

  it("makes no all-zero id, which would mean none", () => {
    const context = makeTraceContext(() => 0)
    assert.deepStrictEqual(parseTraceparent(formatTraceparent(context)), context)
  })
})
