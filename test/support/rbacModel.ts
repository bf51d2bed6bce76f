/** A verdict, with what is logged of it, against the one of the simple evaluator. */
import { assert } from "@effect/vitest"
import { type JudgedConnection, judge } from "../../src/domain/decide/Rbac.ts"
import { rbacLines } from "../../src/domain/decide/RbacLog.ts"
import type { Policies, Policy } from "../../src/domain/mesh/Policy.ts"
import { workload } from "./meshes.ts"
import { simpleMesh } from "./SimpleMesh.ts"
import { simpleRbac } from "./SimpleRbac.ts"

/** Of namespace `a`; it names two policies, one of them of another namespace. */
export const guarded = workload("guarded", ["10.0.0.1"], { namespace: "a", authorizationPolicies: ["a/p1", "b/p2"] })

export const policiesOf = (policies: ReadonlyArray<Policy>): Policies =>
  simpleMesh({ workloads: [], services: [], policies }).policiesOf(guarded)

export const verdictAndLog = (policies: Policies, connection: JudgedConnection) => {
  const log: Array<string> = []
  const { _tag, by } = judge(policies, guarded, connection, (step) => {
    log.push(...rbacLines(step).map(({ message, policy = "" }) => `${message} ${policy}`.trimEnd()))
  })
  return { allowed: _tag === "Allowed", by: by?.key, log }
}

export const judgesAsTheSimpleOne = (policies: ReadonlyArray<Policy>, connection: JudgedConnection): void => {
  const applying = policiesOf(policies)
  assert.deepStrictEqual(verdictAndLog(applying, connection), simpleRbac(applying, connection))
  const untold = judge(applying, guarded, connection)
  assert.strictEqual(untold._tag === "Allowed", simpleRbac(applying, connection).allowed)
}
