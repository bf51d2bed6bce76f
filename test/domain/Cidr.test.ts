import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { type Ip, ipFromOctets, ipUnsafe, isIpv6 } from "../../src/domain/Address.ts"
import { cidrFromOctets, contains, ipWords, parseCidr } from "../../src/domain/Cidr.ts"
import { anyText, bytes, integer, ip, mutated, octetsOfIp, oneOf, THOROUGH } from "../support/hostileInput.ts"

const RUNS = { arbitrary: { runs: 1_000, size: 60 } }

/** An address, and a length that fits it. */
const addressed = Arbitrary.map(Arbitrary.all([ip, integer(0, 128)]), ([ip, length]) => ({
  ip,
  length: isIpv6(ip) ? length : length % 33
}))

/** The other one with the first bits of this one, so that it is often just inside or just outside. */
const neighbour = (octets: Uint8Array, other: Uint8Array, bits: number): Ip =>
  Result.getOrThrow(
    ipFromOctets(
      octets.map((octet, index) => {
        const own = Math.min(8, Math.max(0, bits - index * 8))
        const mask = (0xff00 >> own) & 0xff
        return (octet & mask) | (other[index % other.length]! & ~mask & 0xff)
      })
    )
  )

const oracle = (text: string, ip: Ip): boolean =>
  IpNetwork.contains(IpNetwork.fromStringUnsafe(text), NetAddress.ipFromStringUnsafe(ip))

const within = (text: string, ip: string): boolean => contains(parseCidr(text)!, ipWords(ipUnsafe(ip)))

describe("parseCidr", () => {
  it.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.1.2.3/32", "10.1.2.3/32"],
    ["255.255.255.255/0", "0.0.0.0/0"],
    ["2001:DB8::1/32", "2001:db8::/32"],
    ["2001:db8::1/128", "2001:db8::1/128"],
    ["::1/0", "::/0"],
    ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
    ["::FFFF:a01:203/128", "10.1.2.3/32"],
    ["::ffff:10.1.2.3/96", "0.0.0.0/0"]
  ])("%s is %s", (text, expected) => {
    const parsed = parseCidr(text)
    assert.strictEqual(parsed?.text, expected)
    assert.strictEqual(parsed?.length, Number(expected.split("/")[1]))
  })

  it.each([
    "10.0.0.0",
    "10.0.0.0/",
    "/8",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0/8",
    "::/129",
    "fe80::1%eth0/64",
    " 10.0.0.0/8",
    "10.0.0.0/8/8",
    // some of it would be IPv4 and some not
    "::ffff:10.1.2.3/95",
    ""
  ])("%j is none", (text) => assert.isUndefined(parseCidr(text)))

  it.prop(
    "reads its own text back, with host bits cleared as effect/net clears them",
    [addressed],
    ([{ ip, length }]) => {
      const parsed = parseCidr(`${ip}/${length}`)!
      assert.deepStrictEqual(parseCidr(parsed.text), parsed)
      const network = IpNetwork.fromAddressUnsafe(NetAddress.ipFromStringUnsafe(ip), length)
      assert.strictEqual(parsed.text, IpNetwork.format(network))
    },
    RUNS
  )

  it.prop("survives anything", [anyText], ([text]) => assert.doesNotThrow(() => parseCidr(text)), THOROUGH)

  it.prop(
    "gives only canonical ranges for mutated text",
    [mutated(Arbitrary.map(addressed, ({ ip, length }) => `${ip}/${length}`))],
    ([text]) => {
      const parsed = parseCidr(text)
      if (parsed !== undefined) assert.deepStrictEqual(parseCidr(parsed.text), parsed)
    },
    THOROUGH
  )
})

describe("cidrFromOctets", () => {
  it.prop(
    "is what its text is",
    [octetsOfIp, integer(0, 140)],
    ([octets, length]) => {
      const text = NetAddress.formatIp(
        octets.length === 4 ? NetAddress.ipv4FromBytesUnsafe(octets) : NetAddress.ipv6FromBytesUnsafe(octets)
      )
      assert.deepStrictEqual(cidrFromOctets(octets, length), parseCidr(`${text}/${length}`))
    },
    RUNS
  )

  it("takes an IPv4-mapped range for the IPv4 one", () => {
    const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3)
    assert.strictEqual(cidrFromOctets(mapped, 112)?.text, "10.1.0.0/16")
    assert.strictEqual(cidrFromOctets(mapped, 96)?.text, "0.0.0.0/0")
    assert.isUndefined(cidrFromOctets(mapped, 95))
    assert.isUndefined(cidrFromOctets(mapped, 129))
  })

  it.prop("takes 4 or 16 octets only", [bytes({ maxLength: 20 })], ([octets]) => {
    assert.strictEqual(cidrFromOctets(octets, 0) === undefined, octets.length !== 4 && !isWhole(octets))
  })

  it.each([33, 256, 4_294_967_295, -1, 1.5, Number.NaN])("no IPv4 range has the length %d", (length) => {
    assert.isUndefined(cidrFromOctets(Uint8Array.of(10, 0, 0, 1), length))
  })
})

describe("contains", () => {
  it.prop(
    "agrees with effect/net, near the edges too",
    [octetsOfIp, octetsOfIp, integer(0, 128), oneOf([-40, -33, -1, 0, 1])],
    ([octets, other, bits, off]) => {
      const address = Result.getOrThrow(ipFromOctets(octets))
      const most = isIpv6(address) ? 128 : 32
      const length = bits % (most + 1)
      const mapped = octets.length === 16 && most === 32 ? 96 : 0
      const asked = neighbour(octets, other, mapped + length + off)
      const parsed = parseCidr(`${address}/${length}`)!
      assert.strictEqual(contains(parsed, ipWords(asked)), oracle(parsed.text, asked))
    },
    RUNS
  )

  it.prop("agrees with effect/net on any two", [addressed, ip], ([{ ip, length }, asked]) => {
    const parsed = parseCidr(`${ip}/${length}`)!
    assert.strictEqual(contains(parsed, ipWords(asked)), oracle(parsed.text, asked))
  })

  it("knows the edges of words", () => {
    for (const [text, inside, outside] of [
      ["128.0.0.0/1", "255.255.255.255", "127.255.255.255"],
      ["255.255.255.254/31", "255.255.255.254", "255.255.255.253"],
      ["10.0.0.1/32", "10.0.0.1", "10.0.0.0"],
      ["2001:db8::/32", "2001:db8:ffff::", "2001:db9::"],
      ["2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"],
      ["2001:db8::/33", "2001:db8::1", "2001:db9::1"],
      ["2001:db8:0:1::/64", "2001:db8:0:1:ffff::", "2001:db8:0:2::"],
      ["2001:db8::2/127", "2001:db8::3", "2001:db8::4"],
      ["2001:db8::1/128", "2001:db8::1", "2001:db8::"]
    ] as const) {
      assert.isTrue(within(text, inside), `${inside} in ${text}`)
      assert.isFalse(within(text, outside), `${outside} in ${text}`)
    }
  })

  it("never holds an address of the other family", () => {
    assert.isFalse(within("0.0.0.0/0", "::1"))
    assert.isFalse(within("::/0", "10.0.0.1"))
    assert.isFalse(within("::/0", "::ffff:10.0.0.1"))
    assert.isTrue(within("::ffff:10.0.0.0/104", "::ffff:10.0.0.1"))
  })
})

/** Of 16 octets, and not IPv4-mapped, whose whole range is not one of IPv4. */
const isWhole = (octets: Uint8Array): boolean =>
  octets.length === 16 && octets.subarray(0, 12).join() !== "0,0,0,0,0,0,0,0,0,0,255,255"
