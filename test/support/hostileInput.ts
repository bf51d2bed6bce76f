/** What a parser may be given: text and bytes of any kind, and valid input with a few characters changed. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { type Ip, ipFromOctets, type SocketAddress } from "../../src/domain/Address.ts"
import * as Result from "effect/Result"

/** For `it.prop`: enough runs, and inputs longer than the default of ten elements. */
export const THOROUGH = { arbitrary: { runs: 400, size: 60 } }

export const integer = (minimum: number, maximum: number): Arbitrary.Arbitrary<number> =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

export const oneOf = <A>(values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(integer(0, values.length - 1), (index) => values[index]!)

export const textOf = (characters: string, options?: Arbitrary.ArrayOptions): Arbitrary.Arbitrary<string> =>
  Arbitrary.map(Arbitrary.array(oneOf([...characters]), options), (parts) => parts.join(""))

export const bytes = (options?: Arbitrary.ArrayOptions): Arbitrary.Arbitrary<Uint8Array> =>
  Arbitrary.map(Arbitrary.array(integer(0, 255), options), (octets) => Uint8Array.from(octets))

/** Half of the characters are those that formats are made of, the rest is any UTF-16 code unit, lone surrogates too. */
const character = Arbitrary.flatMap(oneOf(["syntax", "any"]), (kind) =>
  kind === "syntax"
    ? oneOf([..."0123456789abcdefxyzAF.:[]%@/,;= \"'\\-_*\t\n\0"])
    : Arbitrary.map(integer(0, 0xffff), (unit) => String.fromCharCode(unit))
)

export const anyText = Arbitrary.map(Arbitrary.array(character), (characters) => characters.join(""))

const edits = Arbitrary.array(
  Arbitrary.all([integer(0, 999), oneOf(["insert", "remove", "replace", "repeat"]), character]),
  { minLength: 1, maxLength: 4 }
)

export const mutated = (valid: Arbitrary.Arbitrary<string>): Arbitrary.Arbitrary<string> =>
  Arbitrary.map(Arbitrary.all([valid, edits]), ([text, changes]) =>
    changes.reduce((text, [position, edit, character]) => {
      const at = Math.floor((position * (text.length + 1)) / 1000)
      const [before, after] = [text.slice(0, at), text.slice(at)]
      if (edit === "insert") return before + character + after
      if (edit === "repeat") return text + after
      return before + (edit === "replace" ? character : "") + after.slice(1)
    }, text)
  )

/** Of both families, with runs of zeros and IPv4-mapped ones among them. */
export const octetsOfIp = Arbitrary.flatMap(oneOf(["v4", "v6", "zeros", "mapped"]), (kind) =>
  Arbitrary.map(bytes({ minLength: 16, maxLength: 16 }), (octets) => {
    if (kind === "v4") return octets.subarray(12)
    if (kind === "zeros") return octets.map((octet, index) => (octets[index & ~1]! % 2 === 0 ? 0 : octet))
    if (kind === "mapped") return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...octets.subarray(12))
    return octets
  })
)

export const ip: Arbitrary.Arbitrary<Ip> = Arbitrary.map(octetsOfIp, (octets) =>
  Result.getOrThrow(ipFromOctets(octets))
)

export const socketAddress = (minimumPort: number): Arbitrary.Arbitrary<SocketAddress> =>
  Arbitrary.all({ ip, port: integer(minimumPort, 65535) })

/** A hostname of one to four labels, never all digits. */
export const hostname: Arbitrary.Arbitrary<string> = Arbitrary.map(
  Arbitrary.array(textOf("abcxyzABZ0189-_*", { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
  (labels) => labels.map((label) => `n${label}`).join(".")
)
