import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { parseDuration } from "../../../src/domain/config/Duration.ts"

const millis = (text: string) => Result.getOrUndefined(parseDuration(text))

describe("parseDuration", () => {
  it.each([
    ["0", 0],
    ["7", 7_000],
    ["10s", 10_000],
    ["500ms", 500],
    ["5m", 300_000],
    ["3 min", 180_000],
    ["24h", 86_400_000],
    ["2hr", 7_200_000],
    ["1d", 86_400_000],
    ["1w", 604_800_000],
    ["1mon", 2_592_000_000],
    ["1y", 31_536_000_000],
    ["250us", 0.25],
    ["250\u00b5s", 0.25],
    ["500000ns", 0.5],
    ["1m30s", 90_000],
    ["1h30m", 5_400_000],
    ["1m+30", 90_000],
    ["1m + 30 + 24 ", 114_000],
    ["3m 31s", 211_000],
    ["1m*10", 600_000],
    ["1m*60*2", 7_200_000],
    ["1m*10ms", 600],
    [" 1s ", 1_000]
  ])("%s is %d ms", (text, expected) => {
    assert.strictEqual(millis(text), expected)
  })

  it.each([
    "",
    " ",
    "s",
    "10x",
    "-1s",
    "+1s",
    "1.5s",
    "1s+",
    "1m+2*3",
    "3ms-2ms",
    "1e3",
    "5 parsecs",
    "600y",
    "99999999999999999999999s"
  ])("%j is refused", (text) => {
    assert.isTrue(Result.isFailure(parseDuration(text)))
  })

  const count = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })))
  it.prop("terms side by side, added in any order, are their sum", [count, count, count], ([h, m, s]) => {
    const expected = h * 3_600_000 + m * 60_000 + s * 1_000
    assert.strictEqual(millis(`${h}h${m}m${s}s`), expected)
    assert.strictEqual(millis(`${s}+${h}h + ${m} m`), expected)
  })

  it.prop("any text ends in a number or an error, soon", [Arbitrary.schema(Schema.String)], ([noise]) => {
    const value = millis(noise)
    assert.isTrue(value === undefined || value >= 0)
    assert.isUndefined(millis(`${"1".repeat(5_000)}${noise}x`))
  })
})
