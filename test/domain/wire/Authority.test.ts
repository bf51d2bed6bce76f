import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { type Authority, formatAuthority, isHostname, parseAuthority } from "../../../src/domain/wire/Authority.ts"
import { anyText, hostname, integer, mutated, oneOf, socketAddress, THOROUGH } from "../../support/hostileInput.ts"

const authority: Arbitrary.Arbitrary<Authority> = Arbitrary.flatMap(
  oneOf(["Address", "Hostname"]),
  (tag): Arbitrary.Arbitrary<Authority> =>
    tag === "Address"
      ? Arbitrary.map(socketAddress(1), (address) => ({ _tag: "Address", address }))
      : Arbitrary.map(Arbitrary.all([hostname, integer(1, 65535)]), ([host, port]) => ({
          _tag: "Hostname",
          host,
          port
        }))
)

describe("parseAuthority", () => {
  it.prop(
    "reads its own text back",
    [authority],
    ([authority]) => assert.deepStrictEqual(Result.getOrThrow(parseAuthority(formatAuthority(authority))), authority),
    THOROUGH
  )

  it.prop("survives anything", [anyText], ([text]) => assert.doesNotThrow(() => parseAuthority(text)), THOROUGH)

  it.prop(
    "takes of mutated text only what can be written and read again",
    [mutated(Arbitrary.map(authority, formatAuthority))],
    ([text]) => {
      const parsed = parseAuthority(text)
      if (Result.isFailure(parsed)) return assert.include(parsed.failure.message, "is not an authority")
      const target = parsed.success
      const { port } = target._tag === "Address" ? target.address : target
      assert.isTrue(Number.isInteger(port) && port >= 1 && port <= 65535)
      assert.notMatch(text, /[\s@/?#%]/)
      assert.deepStrictEqual(Result.getOrThrow(parseAuthority(formatAuthority(target))), target)
    },
    THOROUGH
  )

  it("reads addresses in canonical form", () => {
    const address = (ip: string, port: number): Authority => ({ _tag: "Address", address: { ip: ipUnsafe(ip), port } })
    assert.deepStrictEqual(Result.getOrThrow(parseAuthority("10.0.0.1:8080")), address("10.0.0.1", 8080))
    assert.deepStrictEqual(Result.getOrThrow(parseAuthority("[2001:DB8:0:0::1]:1")), address("2001:db8::1", 1))
    assert.deepStrictEqual(Result.getOrThrow(parseAuthority("[::ffff:10.0.0.1]:80")), address("10.0.0.1", 80))
  })

  it("reads hostnames as they are", () => {
    for (const host of [
      "web.prod.svc.cluster.local",
      "Web",
      "a_b",
      "*.example.com",
      "1.2.3.4.nip",
      "3com",
      "final.dot."
    ]) {
      assert.deepStrictEqual(Result.getOrThrow(parseAuthority(`${host}:65535`)), {
        _tag: "Hostname",
        host,
        port: 65535
      })
    }
  })

  it("refuses everything else", () => {
    const wrong = {
      ports: [
        "",
        ":",
        ":80",
        "web",
        "web:",
        "web:0",
        "web:65536",
        "web:-1",
        "web:+80",
        "web:0x50",
        "web:8 0",
        "web:٨٠"
      ],
      addresses: ["10.0.0.1", "10.0.0.1:0", "[::1]", "[::1]:0", "::1:80", "[::1%1]:80", "[fe80::1%eth0]:80", "[]:80"],
      nearly: ["256.1.1.1:80", "010.0.0.1:80", "10.1:80", "127.1:80", "2130706433:80", "10.0.0.1.:80"],
      uris: ["user@web:80", "user:pass@web:80", "http://web:80", "web:80/path", "web:80?q", "web/x:80", "web:80:80"],
      hosts: [
        ".:80",
        "a..b:80",
        ".a:80",
        "wéb:80",
        "web\0:80",
        "we b:80",
        " web:80",
        "web:80 ",
        "web\n:80",
        "web:80\n"
      ],
      lengths: [`${"a".repeat(64)}:80`, `${"a.".repeat(127)}a:80`, `${"a.".repeat(200)}a:80`]
    }
    for (const text of Object.values(wrong).flat())
      assert.isTrue(Result.isFailure(parseAuthority(text)), JSON.stringify(text))
  })

  it("does not work its way through a header of 64 KiB", () => {
    for (const text of [`[${":".repeat(65_000)}`, "a.".repeat(32_000), "1".repeat(65_000)]) {
      const started = performance.now()
      const parsed = parseAuthority(text)
      // seconds if the bound did not come first
      assert.isBelow(performance.now() - started, 500)
      assert.isTrue(Result.isFailure(parsed) && parsed.failure.message.length < 500)
    }
  })
})

describe("isHostname", () => {
  it.prop("takes every hostname and nothing that has a number last", [hostname, integer(0, 999)], ([host, number]) => {
    assert.isTrue(isHostname(host))
    assert.isFalse(isHostname(`${host}.${number}`))
  })
})
