import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { encodePolicy, encodeService, encodeWorkload } from "../../../src/domain/xds/Encode.ts"
import { decodeAddress, decodePolicy } from "../../../src/domain/xds/Resources.ts"
import { anyPolicy, anyService, anyWorkload } from "../../support/anyResources.ts"
import { workload } from "../../support/meshes.ts"

const RUNS = { arbitrary: { runs: 200 } }

const shared = (bytes: Uint8Array): Uint8Array => {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

describe("what is encoded", () => {
  it.prop(
    "is decoded to the same workload, from shared memory too",
    [anyWorkload],
    ([workload]) => {
      const bytes = encodeWorkload(workload)
      const expected = Result.succeed({ _tag: "Workload", workload })
      assert.deepStrictEqual<unknown>(decodeAddress(bytes), expected)
      assert.deepStrictEqual<unknown>(decodeAddress(shared(bytes)), expected)
    },
    RUNS
  )

  it.prop(
    "is decoded to the same service",
    [anyService],
    ([service]) =>
      assert.deepStrictEqual<unknown>(
        decodeAddress(encodeService(service)),
        Result.succeed({ _tag: "Service", service })
      ),
    RUNS
  )

  it.prop(
    "is decoded to the same policy, what was not understood included",
    [anyPolicy(true)],
    ([policy]) => assert.deepStrictEqual(decodePolicy(policy.key, encodePolicy(policy)), Result.succeed(policy)),
    RUNS
  )

  it.prop(
    "is the same bytes for the same value",
    [anyWorkload, anyService, anyPolicy(true)],
    ([workload, service, policy]) => {
      assert.deepStrictEqual(encodeWorkload(structuredClone(workload)), encodeWorkload(workload))
      assert.deepStrictEqual(encodeService(structuredClone(service)), encodeService(service))
      assert.deepStrictEqual(encodePolicy(structuredClone(policy)), encodePolicy(policy))
    },
    { arbitrary: { runs: 30 } }
  )

  it("keeps the order of a workload's services, and is a deployment where the protocol has no word", () => {
    const keys = ["shop/z", "shop/a", "__proto__/x", "1/2"]
    const services = new Map(keys.map((key) => [key, new Map([[80, 8080]])]))
    const decoded = decodeAddress(encodeWorkload(workload("a", [], { services, workloadType: "statefulset" })))
    const found =
      Result.isSuccess(decoded) && decoded.success._tag === "Workload" ? decoded.success.workload : undefined
    assert.deepStrictEqual([...(found?.services.keys() ?? [])], keys)
    assert.strictEqual(found?.workloadType, "deployment")
  })
})
