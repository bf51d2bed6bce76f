import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { formatForwarded, parseForwardedHost } from "../../../src/domain/wire/Forwarded.ts"
import { anyText, hostname, mutated, socketAddress, THOROUGH } from "../../support/hostileInput.ts"

const header = Arbitrary.map(Arbitrary.all([socketAddress(0), hostname]), ([source, host]) =>
  formatForwarded(source, host)
)

describe("forwarded", () => {
  it.prop(
    "gives the host back",
    [socketAddress(0), hostname],
    ([source, host]) => {
      assert.strictEqual(parseForwardedHost(formatForwarded(source, host)), host)
    },
    THOROUGH
  )

  it.prop(
    "never carries a host that reads as another, whatever the host",
    [socketAddress(0), anyText],
    ([source, host]) => {
      const read = parseForwardedHost(formatForwarded(source, host))
      assert.isTrue(read === undefined || read === host)
    },
    THOROUGH
  )

  it.prop("survives anything", [anyText], ([text]) => assert.doesNotThrow(() => parseForwardedHost(text)), THOROUGH)

  it.prop(
    "finds only printable text that is not empty",
    [mutated(header)],
    ([text]) => {
      assert.match(parseForwardedHost(text) ?? "none", /^[\t -~]+$/)
    },
    THOROUGH
  )

  it("is written as ztunnel writes it", () => {
    const source = { ip: ipUnsafe("10.0.0.1"), port: 4242 }
    assert.strictEqual(formatForwarded(source, undefined), `for="10.0.0.1:4242"`)
    assert.strictEqual(formatForwarded(source, "web.prod.svc"), `for="10.0.0.1:4242";host=web.prod.svc`)
    assert.strictEqual(formatForwarded({ ip: ipUnsafe("::1"), port: 80 }, ""), `for="[::1]:80"`)
  })

  it("finds the host with and without quotes, in any place and case", () => {
    for (const text of [
      "host=web",
      `host="web"`,
      `for="[::1]:80";host=web`,
      `for=a;HOST="w\\eb";by=c`,
      "for=a, for=b ; host=web",
      "for=[::1]:80;host=web"
    ]) {
      assert.strictEqual(parseForwardedHost(text), "web", text)
    }
    assert.strictEqual(parseForwardedHost(`for="a;host=no";host=yes`), "yes")
  })

  it("finds none where there is none", () => {
    for (const text of [
      "",
      "for=a",
      "host=",
      `host=""`,
      "xhost=a",
      "host",
      "=a",
      `for="a;host=web`,
      "é;host=web",
      "host=é",
      "for a;host=web"
    ]) {
      assert.strictEqual(parseForwardedHost(text), undefined, text)
    }
  })
})
