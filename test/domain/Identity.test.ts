import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { formatIdentity, parseIdentity } from "../../src/domain/Identity.ts"
import { anyText, mutated, textOf, THOROUGH } from "../support/hostileInput.ts"

const part = textOf('abcxyz019.-_:@, "é')
const identity = Arbitrary.all({ trustDomain: part, namespace: part, serviceAccount: part })
const uri = Arbitrary.map(identity, (identity): string => formatIdentity(identity))

describe("parseIdentity", () => {
  it.prop(
    "reads its own text back",
    [identity],
    ([identity]) => {
      assert.deepStrictEqual(Result.getOrThrow(parseIdentity(formatIdentity(identity))), identity)
    },
    THOROUGH
  )

  it.prop(
    "accepts exactly what it would write",
    [mutated(uri)],
    ([text]) => {
      const parsed = parseIdentity(text)
      if (Result.isSuccess(parsed)) assert.strictEqual(formatIdentity(parsed.success), text)
      else assert.include(parsed.failure.message, "is not a SPIFFE id")
    },
    THOROUGH
  )

  it.prop("survives anything", [anyText], ([text]) => assert.isTrue(Result.isFailure(parseIdentity(text))), THOROUGH)

  it("accepts empty parts, refuses more or fewer parts and another scheme", () => {
    assert.deepStrictEqual(Result.getOrThrow(parseIdentity("spiffe:///ns//sa/")), {
      trustDomain: "",
      namespace: "",
      serviceAccount: ""
    })
    const wrong = [
      "spiffe://td/ns/a/sa/b/",
      "spiffe://td/ns/a/sa",
      "https://td/ns/a/sa/b",
      "SPIFFE://td/ns/a/sa/b",
      "spiffe://td/sa/a/ns/b",
      ""
    ]
    for (const text of wrong) assert.isTrue(Result.isFailure(parseIdentity(text)), text)
  })
})
