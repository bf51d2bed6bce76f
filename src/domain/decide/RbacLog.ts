/** Authorization decisions as log lines: ztunnel's texts, which tools match on (reference state §5.5). At debug, or at info where asked for. */
import type { Step } from "./Trace.ts"

export interface RbacLine {
  readonly message: string
  /** The log's `policy` field: `namespace/name`. */
  readonly policy?: string
}

/** What is logged of one step of a verdict; most steps say nothing. */
export const rbacLines = (step: Step): ReadonlyArray<RbacLine> => {
  if (step._tag === "PolicyChecked" && step.matched) {
    const { action, dryRun, key } = step.policy
    return [{ message: `${dryRun ? "dry-run: " : ""}${action.toLowerCase()} policy match`, policy: key }]
  }
  if (step._tag === "Judged" && step.because === "NoAllowPolicies") {
    const allowed = { message: "no allow policies, allow" }
    return step.dryRunNoneAllowed ? [{ message: "dry-run: no allow policies match" }, allowed] : [allowed]
  }
  return step._tag === "Judged" && step.because === "NoneAllowed" ? [{ message: "no allow policies matched" }] : []
}
