import { assert, describe, it } from "@effect/vitest"
import { needsRenewal, renewAt, retryDelay } from "../../../src/domain/cert/Rotation.ts"
import { integer, THOROUGH } from "../../support/hostileInput.ts"

describe("renewal", () => {
  it.prop(
    "is due from half of the life on",
    [integer(0, 2e12), integer(2, 1e9), integer(0, 1e9)],
    ([notBefore, life, after]) => {
      const bundle = { notBefore, notAfter: notBefore + life }
      assert.isTrue(
        notBefore < renewAt(notBefore, bundle.notAfter) && renewAt(notBefore, bundle.notAfter) < bundle.notAfter
      )
      assert.strictEqual(needsRenewal(bundle, notBefore + after), 2 * after >= life)
    },
    THOROUGH
  )

  it("a day's certificate is renewed after twelve hours", () => {
    const bundle = { notBefore: 1_000, notAfter: 1_000 + 86_400_000 }
    assert.strictEqual(renewAt(bundle.notBefore, bundle.notAfter), 1_000 + 43_200_000)
    assert.isFalse(needsRenewal(bundle, 1_000))
    assert.isFalse(needsRenewal(bundle, 43_200_999))
    assert.isTrue(needsRenewal(bundle, 43_201_000))
  })

  it("is due at once for what is expired, not yet valid or without sense", () => {
    assert.isTrue(needsRenewal({ notBefore: 10, notAfter: 20 }, 21))
    assert.isTrue(needsRenewal({ notBefore: 10, notAfter: 20 }, 9))
    assert.isTrue(needsRenewal({ notBefore: 20, notAfter: 10 }, 15))
    assert.isTrue(needsRenewal({ notBefore: Number.NaN, notAfter: 10 }, 5))
  })
})

describe("retryDelay", () => {
  it("doubles from one second to 150", () => {
    assert.deepStrictEqual(
      [1, 2, 3, 8, 9, 10, 5000].map((failures) => retryDelay(failures, 0.5)),
      [1_000, 2_000, 4_000, 128_000, 150_000, 150_000, 150_000]
    )
  })

  it.prop(
    "stays within 20 % of it, whatever the random number",
    [integer(1, 2000), integer(0, 999_999)],
    ([failures, millionths]) => {
      const delay = retryDelay(failures, millionths / 1e6)
      const middle = retryDelay(failures, 0.5)
      assert.isTrue(delay >= 0.8 * middle && delay <= 1.2 * middle)
    },
    THOROUGH
  )
})
