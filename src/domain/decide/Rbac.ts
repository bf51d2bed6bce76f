/**
 * May this connection reach that workload (reference state §5.3): a DENY that matches refuses it; where there are ALLOW
 * policies, one of them has to match. Policies on trial (dry run) decide nothing, so they are asked only for a trace.
 *
 * Unlike ztunnel, a matcher that cannot be read never opens anything: its condition holds in a DENY and fails in an ALLOW.
 * ztunnel drops it, which voids that DENY, and opens an ALLOW that had it among its `not` matchers (§10, 19).
 */
import * as Data from "effect/Data"
import { Reason } from "../connection/ProxyError.ts"
import type { Policies, Policy } from "../mesh/Policy.ts"
import type { Workload } from "../mesh/Workload.ts"
import { type Facts, factsOf, type JudgedConnection, matches } from "./PolicyMatch.ts"
import { Step, type Trace } from "./Trace.ts"

export type { JudgedConnection } from "./PolicyMatch.ts"

/** `by`: the first policy that matched, in the order of keys. */
export type Verdict = Data.TaggedEnum<{
  /** Without one: no ALLOW policy applies. */
  Allowed: { readonly by: Policy | undefined }
  /** Without one: ALLOW policies apply, and none matched. */
  Denied: { readonly by: Policy | undefined }
}>
export const Verdict = Data.taggedEnum<Verdict>()

export const judge = (policies: Policies, workload: Workload, connection: JudgedConnection, trace?: Trace): Verdict => {
  const facts = factsOf(connection)
  for (const key of policies.missing) trace?.(Step.PolicyMissing({ workload, key }))
  tryOut(policies.dryRunDeny, facts, trace)
  const denying = firstMatch(policies.deny, facts, trace)
  const tried = denying === undefined && tryOut(policies.dryRunAllow, facts, trace)
  const allowing = denying === undefined ? firstMatch(policies.allow, facts, trace) : undefined
  const verdict = verdictOf(policies, denying, allowing)
  trace?.(
    Step.Judged({
      workload,
      identity: connection.identity,
      allowed: verdict._tag === "Allowed",
      by: verdict.by,
      because: becauseOf(verdict),
      dryRunNoneAllowed: becauseOf(verdict) === "NoAllowPolicies" && policies.dryRunAllow.length > 0 && !tried
    })
  )
  return verdict
}

/** What the client and the access log are told; undefined when it was allowed. */
export const rejection = (verdict: Verdict): Reason | undefined =>
  verdict._tag === "Denied" ? Reason.PolicyRejected({ by: verdict.by?.key }) : undefined

const firstMatch = (policies: ReadonlyArray<Policy>, facts: Facts, trace: Trace | undefined): Policy | undefined => {
  for (const policy of policies) {
    const matched = matches(policy, facts)
    trace?.(Step.PolicyChecked({ policy, matched }))
    if (matched) return policy
  }
  return undefined
}

/** Tells of each whether it matches, and answers whether any did. */
const tryOut = (policies: ReadonlyArray<Policy>, facts: Facts, trace: Trace | undefined): boolean => {
  let any = false
  if (trace === undefined) return any
  for (const policy of policies) {
    const matched = matches(policy, facts)
    trace(Step.PolicyChecked({ policy, matched }))
    any ||= matched
  }
  return any
}

const verdictOf = ({ allow }: Policies, denying: Policy | undefined, allowing: Policy | undefined): Verdict => {
  if (denying !== undefined) return Verdict.Denied({ by: denying })
  if (allowing !== undefined || allow.length === 0) return Verdict.Allowed({ by: allowing })
  return Verdict.Denied({ by: undefined })
}

const becauseOf = ({ _tag, by }: Verdict) => {
  if (_tag === "Denied") return by === undefined ? "NoneAllowed" : "DeniedBy"
  return by === undefined ? "NoAllowPolicies" : "AllowedBy"
}
