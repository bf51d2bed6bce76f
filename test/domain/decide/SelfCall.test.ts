import { assert, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseSocketAddress } from "../../../src/domain/Address.ts"
import { anyAddress, isSelfCall } from "../../../src/domain/decide/SelfCall.ts"

const calls = (target: string, isOwn: (ip: string) => boolean) =>
  isSelfCall(Result.getOrThrow(parseSocketAddress(target)), [15001, 15008], isOwn)
const none = () => false
const ours = (ip: string) => ip === "10.0.0.1"

it("a call to one of our own ports on this host is a self call, on another address where all count", () => {
  for (const target of [
    "127.0.0.1:15001",
    "127.9.9.9:15008",
    "[::1]:15001",
    "0.0.0.0:15001",
    "[::]:15001",
    "[::ffff:127.0.0.1]:15001"
  ]) {
    assert.isTrue(calls(target, none), target)
    assert.isTrue(calls(target, anyAddress), target)
  }
  assert.isFalse(calls("10.0.0.1:15001", none))
  assert.isTrue(calls("10.0.0.1:15001", ours))
  assert.isFalse(calls("10.0.0.2:15001", ours))
  assert.isTrue(calls("10.0.0.2:15001", anyAddress))
  for (const isOwn of [none, ours, anyAddress]) assert.isFalse(calls("127.0.0.1:80", isOwn))
})
