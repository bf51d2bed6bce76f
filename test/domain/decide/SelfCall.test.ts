import { assert, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseSocketAddress } from "../../../src/domain/Address.ts"
import { isSelfCall } from "../../../src/domain/decide/SelfCall.ts"

const calls = (target: string, loopbackOnly: boolean) =>
  isSelfCall(Result.getOrThrow(parseSocketAddress(target)), [15001, 15008], { loopbackOnly })

it("a call to one of our own ports on this host is a self call everywhere, on another address where all count", () => {
  for (const target of [
    "127.0.0.1:15001",
    "127.9.9.9:15008",
    "[::1]:15001",
    "0.0.0.0:15001",
    "[::]:15001",
    "[::ffff:127.0.0.1]:15001"
  ]) {
    assert.isTrue(calls(target, true), target)
    assert.isTrue(calls(target, false), target)
  }
  assert.isFalse(calls("10.0.0.1:15001", true))
  assert.isTrue(calls("10.0.0.1:15001", false))
  assert.isFalse(calls("127.0.0.1:80", true))
  assert.isFalse(calls("127.0.0.1:80", false))
})
