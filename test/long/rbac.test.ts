/** Verdicts against the simple evaluator's, ten thousand times. The quick run: test/domain/decide/Rbac.test.ts. */
import { describe, it } from "@effect/vitest"
import { connection, policiesIn } from "../support/policyArbitrary.ts"
import { judgesAsTheSimpleOne } from "../support/rbacModel.ts"

describe("any policies, any connection", () => {
  it.prop(
    "are judged and logged as by the simple evaluator",
    [policiesIn("a"), policiesIn("b"), connection],
    ([own, others, connection]) => judgesAsTheSimpleOne([...own, ...others], connection),
    { arbitrary: { runs: 10_000 } }
  )
})
