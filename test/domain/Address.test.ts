import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { isIP, SocketAddress as NodeSocketAddress } from "node:net"
import {
  formatSocketAddress,
  ipFromOctets,
  ipUnsafe,
  isIpv6,
  isLoopback,
  parseIp,
  parseSocketAddress
} from "../../src/domain/Address.ts"
import { anyText, bytes, ip, mutated, octetsOfIp, socketAddress, THOROUGH } from "../support/hostileInput.ts"

describe("parseIp", () => {
  it.prop("reads its own text back", [ip], ([ip]) => assert.strictEqual(ipUnsafe(ip), ip), THOROUGH)

  it.prop(
    "agrees with the operating system's idea of the octets",
    [octetsOfIp],
    ([octets]) => {
      const ip = Result.getOrThrow(ipFromOctets(octets))
      const node = NodeSocketAddress.parse(isIpv6(ip) ? `[${ip}]:80` : `${ip}:80`)
      // inet_ntop writes ::/96 with dots, RFC 5952 leaves that open: compare what is meant
      assert.strictEqual(ipUnsafe(node?.address ?? ""), ip)
    },
    THOROUGH
  )

  it.prop(
    "has one text per address: spellings in full or in capitals give the same",
    [octetsOfIp],
    ([octets]) => {
      if (octets.length === 4) return
      const groups = Array.from({ length: 8 }, (_, index) =>
        (octets[2 * index]! * 256 + octets[2 * index + 1]!).toString(16).padStart(4, "0")
      )
      assert.strictEqual(ipUnsafe(groups.join(":").toUpperCase()), Result.getOrThrow(ipFromOctets(octets)))
    },
    THOROUGH
  )

  it.prop(
    "takes nothing that is not an address",
    [anyText],
    ([text]) => {
      if (Result.isSuccess(parseIp(text))) assert.notStrictEqual(isIP(text), 0)
    },
    THOROUGH
  )

  it.prop(
    "survives mutated addresses",
    [mutated(ip)],
    ([text]) => {
      const parsed = parseIp(text)
      if (Result.isSuccess(parsed)) assert.strictEqual(ipUnsafe(parsed.success), parsed.success)
      else assert.include(parsed.failure.message, "is not an IP address")
    },
    THOROUGH
  )

  it.prop("takes 4 or 16 octets only", [bytes()], ([octets]) => {
    assert.strictEqual(Result.isSuccess(ipFromOctets(octets)), octets.length === 4 || octets.length === 16)
  })

  it("turns an IPv4-mapped address into the IPv4 address", () => {
    assert.strictEqual(ipUnsafe("::ffff:10.0.0.1"), "10.0.0.1")
    assert.strictEqual(ipUnsafe("::FFFF:a00:1"), "10.0.0.1")
  })

  it("refuses zones, brackets, ports, short and octal forms", () => {
    for (const text of ["fe80::1%eth0", "[::1]", "10.0.0.1:80", "10.1", "010.0.0.1", "1.2.3.256", " 1.2.3.4", ""]) {
      assert.isTrue(Result.isFailure(parseIp(text)), text)
    }
  })
})

describe("parseSocketAddress", () => {
  it.prop(
    "reads its own text back",
    [socketAddress(0)],
    ([address]) => {
      assert.deepStrictEqual(Result.getOrThrow(parseSocketAddress(formatSocketAddress(address))), address)
    },
    THOROUGH
  )

  it.prop("survives anything", [anyText], ([text]) => assert.doesNotThrow(() => parseSocketAddress(text)), THOROUGH)

  it.prop(
    "gives only ports and addresses in range for mutated text",
    [mutatedSocketAddress()],
    ([text]) => {
      const parsed = parseSocketAddress(text)
      if (Result.isFailure(parsed)) return
      const { ip, port } = parsed.success
      assert.isTrue(port >= 0 && port <= 65535 && Number.isInteger(port))
      assert.strictEqual(ipUnsafe(ip), ip)
    },
    THOROUGH
  )

  it("wants brackets around IPv6 and nothing else", () => {
    assert.deepStrictEqual(Result.getOrThrow(parseSocketAddress("[::ffff:10.0.0.1]:80")), {
      ip: ipUnsafe("10.0.0.1"),
      port: 80
    })
    for (const text of ["::1:80", "[10.0.0.1]:80", "[::1%1]:80", "10.0.0.1", "10.0.0.1:65536", "10.0.0.1:+80", ":80"]) {
      assert.isTrue(Result.isFailure(parseSocketAddress(text)), text)
    }
  })
})

describe("loopback", () => {
  it.prop("is 127.0.0.0/8 and ::1", [octetsOfIp], ([octets]) => {
    const mapped = octets.length === 16 && octets.subarray(0, 12).join() === "0,0,0,0,0,0,0,0,0,0,255,255"
    const v4 = octets.length === 4 ? octets : mapped ? octets.subarray(12) : undefined
    const ip = Result.getOrThrow(ipFromOctets(octets))
    assert.strictEqual(isLoopback(ip), v4 === undefined ? ip === "::1" : v4[0] === 127)
  })

  it("knows the two of them", () => {
    for (const text of ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"])
      assert.isTrue(isLoopback(ipUnsafe(text)))
    for (const text of ["128.0.0.1", "::", "127::1", "::2"]) assert.isFalse(isLoopback(ipUnsafe(text)))
  })
})

function mutatedSocketAddress() {
  return mutated(Arbitrary.map(socketAddress(0), formatSocketAddress))
}
