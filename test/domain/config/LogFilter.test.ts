import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { enabled, parseLogFilter } from "../../../src/domain/config/LogFilter.ts"

const filter = (text: string) => Result.getOrThrow(parseLogFilter(text))

describe("LogFilter", () => {
  it("writes info and worse where nothing is said", () => {
    assert.isTrue(enabled(filter(""), "anything", "info"))
    assert.isTrue(enabled(filter("access=off"), "anything", "error"))
    assert.isFalse(enabled(filter("access=trace"), "anything", "debug"))
  })

  it("takes the last bare level, in any case", () => {
    assert.isTrue(enabled(filter("warn, DEBUG,"), "anything", "debug"))
    assert.isFalse(enabled(filter("off"), "anything", "error"))
  })

  it("lets the longest prefix decide, whatever the order", () => {
    for (const text of ["proxy=warn,proxy::outbound=trace,error", "error,proxy::outbound=trace,proxy=warn"]) {
      assert.isTrue(enabled(filter(text), "proxy::outbound::pool", "trace"))
      assert.isTrue(enabled(filter(text), "proxy::inbound", "warn"))
      assert.isFalse(enabled(filter(text), "proxy::inbound", "info"))
      assert.isFalse(enabled(filter(text), "xds", "warn"))
    }
  })

  it("lets a later clause replace an earlier one of the same target", () => {
    assert.isFalse(enabled(filter("access=trace,access=off"), "access", "error"))
  })

  it.each(["loud", "access=loud", "=debug", "access", "access:debug", "info;debug", "a=b=c"])("refuses %s", (text) => {
    assert.include(Result.getOrThrow(Result.flip(parseLogFilter(text))).message, JSON.stringify(text))
  })
})
