import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { ipUnsafe, isIpv6, type SocketAddress } from "../../../src/domain/Address.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import {
  decodeProxyHeader,
  encodeProxyHeader,
  PROXY_HEADER_MAX_BYTES,
  type ProxyHeader
} from "../../../src/domain/wire/ProxyProtocol.ts"
import { anyText, bytes, integer, oneOf, socketAddress, THOROUGH } from "../../support/hostileInput.ts"

const at = (ip: string, port: number): SocketAddress => ({ ip: ipUnsafe(ip), port })
const hex = (octets: Uint8Array) => Buffer.from(octets).toString("hex")
const unhex = (...parts: ReadonlyArray<string>) => Uint8Array.from(Buffer.from(parts.join(""), "hex"))
const SIGNATURE = "0d0a0d0a000d0a515549540a"
const CART = formatIdentity({ trustDomain: "td", namespace: "shop", serviceAccount: "cart" })
const CART_TLV = `d0001b${Buffer.from("spiffe://td/ns/shop/sa/cart").toString("hex")}`

const identity = Arbitrary.map(
  Arbitrary.all([oneOf(["td", "cluster.local", "ünicode.例"]), integer(0, 2_000)]),
  ([trustDomain, length]) => formatIdentity({ trustDomain, namespace: "n".repeat(length), serviceAccount: "sa" })
)
/** Such as a tunnel makes: one family, or nothing said. */
const header: Arbitrary.Arbitrary<ProxyHeader> = Arbitrary.map(
  Arbitrary.all([socketAddress(0), socketAddress(0), oneOf([true, true, true, false]), oneOf([true, false]), identity]),
  ([source, destination, addressed, identified, identity]) => ({
    addresses: addressed && isIpv6(source.ip) === isIpv6(destination.ip) ? { source, destination } : undefined,
    identity: identified ? identity : undefined
  })
)

describe("a PROXY header", () => {
  it("is laid out as haproxy's document says, with Istio's TLV", () => {
    const source = at("10.0.0.1", 0x1234)
    const destination = at("10.0.0.2", 80)
    assert.strictEqual(
      hex(encodeProxyHeader({ addresses: { source, destination }, identity: undefined })),
      `${SIGNATURE}2111000c0a0000010a00000212340050`
    )
    assert.strictEqual(
      hex(encodeProxyHeader({ addresses: { source, destination }, identity: CART })),
      `${SIGNATURE}2111002a0a0000010a00000212340050${CART_TLV}`
    )
    const v6 = { source: at("fd00::1", 1), destination: at("fd00::2", 65535) }
    assert.strictEqual(
      hex(encodeProxyHeader({ addresses: v6, identity: undefined })),
      `${SIGNATURE}21210024fd00${"0".repeat(27)}1fd00${"0".repeat(27)}20001ffff`
    )
  })

  it("says no addresses where their families differ", () => {
    const addresses = { source: at("fd00::1", 1), destination: at("10.0.0.2", 80) }
    assert.strictEqual(hex(encodeProxyHeader({ addresses, identity: CART })), `${SIGNATURE}2101001e${CART_TLV}`)
    assert.strictEqual(hex(encodeProxyHeader({ addresses, identity: undefined })), `${SIGNATURE}21010000`)
  })

  it("leaves out an identity that it has no room for", () => {
    const long = (length: number) =>
      formatIdentity({ trustDomain: "t", namespace: "n".repeat(length - 19), serviceAccount: "s" })
    const addresses = { source: at("10.0.0.1", 1), destination: at("10.0.0.2", 80) }
    const sizeFor = (length: number) => encodeProxyHeader({ addresses, identity: long(length) }).length
    assert.strictEqual(long(100).length, 100)
    assert.strictEqual(sizeFor(0xffff - 15), PROXY_HEADER_MAX_BYTES)
    assert.strictEqual(sizeFor(0xffff - 14), 28)
  })

  it.prop(
    "is read as it was written, wherever it is cut, and what follows is left alone",
    [header, bytes(), integer(0, 999)],
    ([given, after, cut]) => {
      const encoded = encodeProxyHeader(given)
      assert.isAtMost(encoded.length, PROXY_HEADER_MAX_BYTES)
      const done = { _tag: "Done", consumed: encoded.length, header: given } as const
      assert.deepStrictEqual(decodeProxyHeader(Uint8Array.of(...encoded, ...after)), done)
      const part = encoded.subarray(0, Math.floor((encoded.length * cut) / 1000))
      assert.deepStrictEqual(decodeProxyHeader(part), { _tag: "NeedMore" })
    },
    THOROUGH
  )
})

describe("what is read", () => {
  const addresses = { source: at("10.0.0.1", 0x1234), destination: at("10.0.0.2", 80) }
  it.each<[string, string, ProxyHeader]>([
    ["LOCAL, with whatever is in it", "20110003ffffff", { addresses: undefined, identity: undefined }],
    ["an unspecified protocol", "21000000", { addresses: undefined, identity: undefined }],
    ["other TLVs", `211100130a0000010a000002123400500300040badcafe`, { addresses, identity: undefined }],
    ["an empty TLV", `2111000f0a0000010a00000212340050040000`, { addresses, identity: undefined }],
    [
      "IPv4-mapped addresses, as IPv4 ones",
      `21210024${"0".repeat(20)}ffff0a000001${"0".repeat(20)}ffff0a00000212340050`,
      { addresses, identity: undefined }
    ]
  ])("may be %s", (_, rest, header) => {
    const given = unhex(SIGNATURE, rest)
    assert.deepStrictEqual(decodeProxyHeader(given), { _tag: "Done", consumed: given.length, header })
  })

  it.each([
    ["another protocol, at its first byte", Uint8Array.from(Buffer.from("G")), "does not begin with"],
    ["version 1", Uint8Array.from(Buffer.from("PROXY TCP4 ")), "does not begin with"],
    ["a signature with a wrong end", unhex(SIGNATURE.slice(0, -2), "0b"), "does not begin with"],
    ["another version", unhex(SIGNATURE, "31"), "version 3"],
    ["another command", unhex(SIGNATURE, "22"), "command 2"],
    ["datagrams", unhex(SIGNATURE, "2112"), "0x12"],
    ["a Unix socket", unhex(SIGNATURE, "2131"), "0x31"],
    ["no room for its addresses", unhex(SIGNATURE, "2111000b"), "too short"],
    ["a cut TLV head", unhex(SIGNATURE, "210100020300"), "inside of a TLV"],
    ["a TLV longer than the header", unhex(SIGNATURE, "2101000403000200"), "inside of a TLV"],
    ["an identity that is none", unhex(SIGNATURE, "21010005d000026869"), "is not a SPIFFE id"],
    [
      "an identity that is no text",
      unhex(SIGNATURE, "21010016", "d00013", hex(Buffer.from("spiffe://t/ns//sa/")), "ff"),
      "not UTF-8"
    ]
  ])("is refused when it is %s", (_, given, wrong) => {
    const step = decodeProxyHeader(given)
    assert.strictEqual(step._tag, "Invalid")
    assert.include(step._tag === "Invalid" ? step.detail : "", wrong)
  })

  it.prop(
    "may be anything: the answer never changes with what comes later, and nothing throws",
    [
      Arbitrary.all([oneOf([0x20, 0x21, 0x21, 0x11]), oneOf([0, 1, 0x11, 0x21, 0x31])]),
      bytes({ maxLength: 60 }),
      anyText
    ],
    ([[command, kind], rest, text]) => {
      const length = [0, rest.length]
      const whole = unhex(SIGNATURE, hex(Uint8Array.of(command, kind, ...length, ...rest)))
      for (const given of [whole, Uint8Array.from(Buffer.from(text))]) {
        const final = decodeProxyHeader(given)
        for (let cut = 0; cut < given.length; cut++) {
          const step = decodeProxyHeader(given.subarray(0, cut))
          if (step._tag !== "NeedMore") assert.deepStrictEqual(step, final)
        }
        if (given === whole) assert.notStrictEqual(final._tag, "NeedMore")
      }
    },
    THOROUGH
  )
})
