/**
 * Policies by key and by scope (reference state §3.1, §5.2). They are few and every connection asks them, so they are
 * kept decoded. What applies is worked out once for all workloads of a namespace that name the same policies, and again
 * after a batch that touched policies.
 */
import { type Encoded, EncodedTable } from "./EncodedTable.ts"
import { Generations } from "./Generations.ts"
import type { Policies, Policy, PolicyKey } from "./Policy.ts"
import { SortedIndex } from "./SortedIndex.ts"
import { textOrder } from "./SortedList.ts"
import type { Committed } from "./Versioned.ts"
import type { Workload } from "./Workload.ts"

/** What applies, as of one edition of the policies. */
interface Applied {
  edition: number
  policies: Policies
}

export class PolicyIndexes implements Committed {
  readonly table = new EncodedTable<Policy, Policy>((_, policy) => policy)
  readonly #byScope = new SortedIndex<Policy>(byKey)
  /** Two steps: workloads come and go as objects, what applies to them does not. */
  readonly #ofWorkload = new WeakMap<Workload, Applied>()
  readonly #ofNames = new Generations<string, Applied>(APPLIED)
  #edition = 0
  #touched = false

  get(key: PolicyKey): Policy | undefined {
    return this.table.facts(key)
  }

  of(workload: Workload): Policies {
    const applied = this.#ofWorkload.get(workload) ?? this.#shared(workload)
    if (applied.edition !== this.#edition) {
      const now = this.#choose(workload)
      if (!samePolicies(applied.policies, now)) applied.policies = now
      applied.edition = this.#edition
    }
    return applied.policies
  }

  stage(policy: Policy, at: Encoded): void {
    this.remove(policy.key)
    this.#touched = true
    if (policy.scope !== "WorkloadSelector") this.#byScope.put(scopeKey(policy), policy)
    this.table.put(policy.key, policy, at)
  }

  remove(key: PolicyKey): void {
    const before = this.table.staged(key)?.facts
    if (before === undefined) return
    this.#touched = true
    if (before.scope !== "WorkloadSelector") this.#byScope.delete(scopeKey(before), before)
    this.table.delete(key)
  }

  commit(): void {
    this.table.commit()
    this.#byScope.commit()
    if (this.#touched) this.#edition += 1
    this.#touched = false
  }

  merge(more: () => boolean): boolean {
    return this.table.merge(more) && this.#byScope.merge(more)
  }

  #shared(workload: Workload): Applied {
    const names = JSON.stringify([workload.namespace, ...workload.authorizationPolicies])
    let applied = this.#ofNames.get(names)
    if (applied === undefined) {
      applied = { edition: this.#edition, policies: this.#choose(workload) }
      this.#ofNames.set(names, applied)
    }
    this.#ofWorkload.set(workload, applied)
    return applied
  }

  #choose({ authorizationPolicies, namespace }: Workload): Policies {
    const applies = new Map<PolicyKey, Policy>()
    const missing = new Set<PolicyKey>()
    for (const policy of this.#byScope.all(GLOBAL)) applies.set(policy.key, policy)
    for (const policy of this.#byScope.all(ofNamespace(namespace))) applies.set(policy.key, policy)
    for (const key of authorizationPolicies) {
      const policy = this.get(key)
      if (policy === undefined) missing.add(key)
      else applies.set(key, policy)
    }
    const inOrder = [...applies.values()].sort(byKey)
    const classOf = (action: Policy["action"], dryRun: boolean) =>
      inOrder.filter((policy) => policy.action === action && policy.dryRun === dryRun)
    return {
      dryRunDeny: classOf("Deny", true),
      deny: classOf("Deny", false),
      dryRunAllow: classOf("Allow", true),
      allow: classOf("Allow", false),
      missing: [...missing]
    }
  }
}

const scopeKey = ({ namespace, scope }: Policy): string => (scope === "Global" ? GLOBAL : ofNamespace(namespace))

const ofNamespace = (namespace: string) => `@${namespace}`

const samePolicies = (a: Policies, b: Policies): boolean =>
  sameElements(a.dryRunDeny, b.dryRunDeny) &&
  sameElements(a.deny, b.deny) &&
  sameElements(a.dryRunAllow, b.dryRunAllow) &&
  sameElements(a.allow, b.allow) &&
  sameElements(a.missing, b.missing)

const sameElements = (a: ReadonlyArray<unknown>, b: ReadonlyArray<unknown>): boolean =>
  a.length === b.length && a.every((element, index) => element === b[index])

const byKey = (a: Policy, b: Policy): number => textOrder(a.key, b.key)

const GLOBAL = "*"

/** Namespaces, times the sets of policies that their workloads name, that are in use: at most twice as many are kept. */
const APPLIED = 512
