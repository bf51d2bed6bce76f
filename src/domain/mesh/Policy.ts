/**
 * An authorization policy as the control plane compiles it for layer 4 (reference state §2.3, §5.4). Plain data: a policy
 * is any of its rules, a rule all of its clauses, a clause any of its matches, a match all of its kinds of condition.
 */
import type { Cidr } from "../Cidr.ts"

/** `namespace/name`; the name under which the control plane sends it. */
export type PolicyKey = string

/** Compared with a namespace, or with a principal without `spiffe://`. Case matters. */
export type StringMatcher =
  | { readonly _tag: "Exact" | "Prefix" | "Suffix"; readonly value: string }
  /** Anything but the empty text. */
  | { readonly _tag: "Presence" }

export interface ServiceAccountMatcher {
  readonly namespace: string
  readonly serviceAccount: string
}

/**
 * One kind of condition: any of `any`, and none of `none`. `notUnderstood`: there was a matcher among them that we cannot
 * read; the condition then holds in a DENY and fails in an ALLOW, so that it never opens anything.
 */
export interface Condition<M> {
  readonly any: ReadonlyArray<M>
  readonly none: ReadonlyArray<M>
  readonly notUnderstood: boolean
}

/** Absent kinds hold. A match without any kind holds for nobody. */
export interface Match {
  readonly namespaces?: Condition<StringMatcher>
  readonly principals?: Condition<StringMatcher>
  readonly serviceAccounts?: Condition<ServiceAccountMatcher>
  readonly sourceIps?: Condition<Cidr>
  readonly destinationIps?: Condition<Cidr>
  readonly destinationPorts?: Condition<number>
}

export type Clause = ReadonlyArray<Match>
export type Rule = ReadonlyArray<Clause>

export interface Policy {
  readonly key: PolicyKey
  readonly name: string
  readonly namespace: string
  /** Who it applies to: everyone, its namespace, or those workloads that name it. */
  readonly scope: "Global" | "Namespace" | "WorkloadSelector"
  readonly action: "Allow" | "Deny"
  /** Only told, never enforced. */
  readonly dryRun: boolean
  readonly rules: ReadonlyArray<Rule>
}

/** The policies that apply to one workload, by class, each class in the order of keys. The same object for as long as nothing of it changes. */
export interface Policies {
  readonly dryRunDeny: ReadonlyArray<Policy>
  readonly deny: ReadonlyArray<Policy>
  readonly dryRunAllow: ReadonlyArray<Policy>
  readonly allow: ReadonlyArray<Policy>
  /** Attached by name, and not there. */
  readonly missing: ReadonlyArray<PolicyKey>
}
