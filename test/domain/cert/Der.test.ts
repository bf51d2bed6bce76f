import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { splitSequences } from "../../../src/domain/cert/Der.ts"
import { integer } from "../../support/hostileInput.ts"

/** A SEQUENCE around `content`; its length in as many octets as asked for, or in the short form. */
const sequence = (content: ReadonlyArray<number>, lengthOctets = content.length < 128 ? 0 : 2) =>
  lengthOctets === 0
    ? [0x30, content.length, ...content]
    : [
        0x30,
        0x80 + lengthOctets,
        ...Array.from({ length: lengthOctets }, (_, at) => (content.length >>> (8 * (lengthOctets - 1 - at))) & 0xff),
        ...content
      ]
const split = (...octets: ReadonlyArray<number>) => splitSequences(Uint8Array.from(octets))
const refusal = (...octets: ReadonlyArray<number>) => Result.merge(split(...octets)).toString()

const octets = Arbitrary.array(integer(0, 255), { maxLength: 300 })

describe("splitSequences", () => {
  it.prop("what is put together is taken apart", [Arbitrary.array(octets, { maxLength: 4 })], ([contents]) => {
    const values = contents.map((content) => sequence(content))
    assert.deepStrictEqual(
      Result.getOrThrow(split(...values.flat())).map((value) => [...value]),
      values
    )
  })

  it.prop("of what is cut short nothing is taken", [octets, integer(0, 1000)], ([content, cut]) => {
    const value = sequence(content)
    const kept = 1 + (cut % (value.length - 1))
    assert.match(refusal(...value, ...value.slice(0, kept)), new RegExp(`not DER at byte ${value.length}`))
  })

  it("takes lengths of up to four octets", () => {
    for (const lengthOctets of [0, 1, 2, 3, 4]) {
      const value = sequence([1, 2, 3], lengthOctets)
      assert.deepStrictEqual(Result.getOrThrow(split(...value, ...value)).length, 2)
    }
    assert.match(refusal(...sequence([1, 2, 3], 5)), /at byte 0: a length of 5 octets/)
    assert.match(refusal(0x30, 0xff), /a length of 127 octets/)
  })

  it("no length takes it out of bounds", () => {
    assert.match(refusal(0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0), /4294967295 bytes are announced, 1 are there/)
    assert.match(refusal(0x30, 0x84, 0x80, 0, 0, 0), /2147483648 bytes are announced, 0 are there/)
    assert.match(refusal(0x30, 0x80, 0, 0), /not definite/)
    assert.match(refusal(0x30), /ends within a length/)
    assert.match(refusal(0x30, 0x82, 1), /ends within a length/)
    assert.match(refusal(0x31, 0), /no SEQUENCE/)
  })

  it("nothing is nothing", () => assert.deepStrictEqual(Result.getOrThrow(split()), []))
})
