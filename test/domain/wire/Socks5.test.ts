import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { formatSocketAddress, ipFromOctets, ipUnsafe } from "../../../src/domain/Address.ts"
import { formatAuthority, parseAuthority } from "../../../src/domain/wire/Authority.ts"
import {
  parseSocks5Greeting,
  parseSocks5Request,
  SOCKS5_MAX_BYTES,
  socks5Reply,
  SOCKS5_REPLY,
  type Socks5Step
} from "../../../src/domain/wire/Socks5.ts"
import { bytes, hostname, integer, octetsOfIp, oneOf, THOROUGH } from "../../support/hostileInput.ts"

const ascii = (text: string) => [...text].map((character) => character.charCodeAt(0))
const portOf = (port: number) => [port >> 8, port & 0xff]
const requestFor = (octets: Uint8Array, port: number) =>
  Uint8Array.of(5, 1, 0, octets.length === 4 ? 1 : 4, ...octets, ...portOf(port))
const requestForName = (name: ReadonlyArray<number>, port: number) =>
  Uint8Array.of(5, 1, 0, 3, name.length, ...name, ...portOf(port))

const greeting = Arbitrary.map(bytes({ maxLength: 254 }), (methods) =>
  Uint8Array.of(5, methods.length + 1, ...methods, 0)
)
const request = Arbitrary.flatMap(oneOf(["address", "name"]), (kind) =>
  kind === "address"
    ? Arbitrary.map(Arbitrary.all([octetsOfIp, integer(1, 65535)]), ([octets, port]) => requestFor(octets, port))
    : Arbitrary.map(Arbitrary.all([hostname, integer(1, 65535)]), ([host, port]) => requestForName(ascii(host), port))
)

/** Mostly version 5, so that the rest is looked at. */
const anyBytes = Arbitrary.map(
  Arbitrary.all([oneOf([5, 5, 5, 4, 71]), integer(0, 5), integer(0, 255), integer(0, 5), bytes()]),
  ([version, command, rsv, type, rest]) => Uint8Array.of(version, command, rsv, type, ...rest)
)

const refusal = <A>(step: Socks5Step<A>) => (step._tag === "Refused" ? [...step.reply] : step)
const reply = (code: number) => [5, code, 0, 1, 0, 0, 0, 0, 0, 0]

/** Whatever was decided on a prefix must hold for all that follows. */
const isIncremental = <A>(parse: (bytes: Uint8Array) => Socks5Step<A>, message: Uint8Array, after: Uint8Array) => {
  const whole = Uint8Array.of(...message, ...after)
  const final = parse(whole)
  for (let length = 0; length <= whole.length; length++) {
    const step = parse(whole.subarray(0, length))
    if (step._tag !== "NeedMore") assert.deepStrictEqual(step, final)
    else assert.isTrue(length < SOCKS5_MAX_BYTES && (final._tag !== "Done" || length < final.consumed))
  }
  return final
}

describe("greeting", () => {
  it.prop(
    "is answered whatever way it is cut, and what follows is left alone",
    [greeting, bytes()],
    ([message, after]) => {
      assert.deepStrictEqual(isIncremental(parseSocks5Greeting, message, after), {
        _tag: "Done",
        consumed: message.length,
        value: Uint8Array.of(5, 0)
      })
    }
  )

  it.prop("survives any bytes", [bytes(), anyBytes], ([first, second]) => {
    isIncremental(parseSocks5Greeting, first, second)
    isIncremental(parseSocks5Greeting, second, first)
  })

  it("refuses in the protocol's words when no method suits, without words when it is another protocol", () => {
    assert.deepStrictEqual(refusal(parseSocks5Greeting(Uint8Array.of(5, 2, 1, 2))), [5, 0xff])
    assert.deepStrictEqual(refusal(parseSocks5Greeting(Uint8Array.of(5, 0))), [5, 0xff])
    assert.deepStrictEqual(refusal(parseSocks5Greeting(Uint8Array.of(5, 1, 2, 0))), [5, 0xff])
    assert.deepStrictEqual(refusal(parseSocks5Greeting(Uint8Array.of(4, 1, 0, 80))), [])
    assert.deepStrictEqual(refusal(parseSocks5Greeting(Uint8Array.from(ascii("GET / HTTP/1.1\r\n")))), [])
  })
})

describe("request", () => {
  it.prop("is read whatever way it is cut, and what follows is left alone", [request, bytes()], ([message, after]) => {
    const step = isIncremental(parseSocks5Request, message, after)
    assert.isTrue(step._tag === "Done" && step.consumed === message.length)
  })

  it.prop(
    "names the address in canonical form",
    [octetsOfIp, integer(1, 65535)],
    ([octets, port]) => {
      const step = parseSocks5Request(requestFor(octets, port))
      assert.strictEqual(
        step._tag === "Done" ? formatAuthority(step.value) : step,
        formatSocketAddress({ ip: Result.getOrThrow(ipFromOctets(octets)), port })
      )
    },
    THOROUGH
  )

  it.prop("names the host", [hostname, integer(1, 65535)], ([host, port]) => {
    const step = parseSocks5Request(requestForName(ascii(host), port))
    assert.deepStrictEqual(step._tag === "Done" && step.value, { _tag: "Hostname", host, port })
  })

  it.prop(
    "survives any bytes, and every target is one that an authority could name",
    [anyBytes, bytes()],
    ([first, second]) => {
      const step = isIncremental(parseSocks5Request, first, second)
      if (step._tag === "Done")
        assert.deepStrictEqual(Result.getOrThrow(parseAuthority(formatAuthority(step.value))), step.value)
    },
    THOROUGH
  )

  it.prop(
    "survives any name",
    [bytes({ maxLength: 255 })],
    ([name]) => {
      assert.notStrictEqual(parseSocks5Request(requestForName([...name], 80))._tag, "NeedMore")
    },
    THOROUGH
  )

  it("takes a name that spells an address for the address", () => {
    for (const [name, ip] of [
      ["127.0.0.1", "127.0.0.1"],
      ["::1", "::1"],
      ["::ffff:10.0.0.1", "10.0.0.1"]
    ] as const) {
      const step = parseSocks5Request(requestForName(ascii(name), 80))
      assert.deepStrictEqual(step._tag === "Done" && step.value, {
        _tag: "Address",
        address: { ip: ipUnsafe(ip), port: 80 }
      })
    }
  })

  it("refuses with the code that says why", () => {
    const valid = [...requestFor(Uint8Array.of(10, 0, 0, 1), 80)]
    assert.deepStrictEqual(refusal(parseSocks5Request(Uint8Array.from(valid.with(0, 4)))), reply(1))
    assert.deepStrictEqual(refusal(parseSocks5Request(Uint8Array.from(valid.with(1, 2)))), reply(7))
    assert.deepStrictEqual(refusal(parseSocks5Request(Uint8Array.from(valid.with(1, 3)))), reply(7))
    assert.deepStrictEqual(refusal(parseSocks5Request(Uint8Array.from(valid.with(3, 2)))), reply(8))
    assert.deepStrictEqual(refusal(parseSocks5Request(Uint8Array.from(valid.with(9, 0)))), reply(1))
    for (const name of ["", "a b", "wéb", "127.1", "fe80::1%eth0", "a\0.b"]) {
      assert.deepStrictEqual(refusal(parseSocks5Request(requestForName(ascii(name), 80))), reply(4), name)
    }
  })

  it("ignores the reserved byte", () => {
    assert.strictEqual(parseSocks5Request(Uint8Array.of(5, 1, 9, 1, 10, 0, 0, 1, 0, 80))._tag, "Done")
  })
})

it("every reply has ten bytes and its code", () => {
  for (const code of Object.values(SOCKS5_REPLY)) assert.deepStrictEqual([...socks5Reply(code)], reply(code))
})
