/**
 * Authorization as the reference tells it (state §5), and nothing else: every policy is asked, every kind is looked at, and
 * ranges and identities are read anew for each question. What `judge` decides and tells is compared with this.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import type { Ip } from "../../src/domain/Address.ts"
import type { Cidr } from "../../src/domain/Cidr.ts"
import type { JudgedConnection } from "../../src/domain/decide/Rbac.ts"
import type { Condition, Match, Policies, Policy, StringMatcher } from "../../src/domain/mesh/Policy.ts"

export interface SimpleVerdict {
  readonly allowed: boolean
  readonly by: string | undefined
  /** The decision's log lines, each followed by its policy. */
  readonly log: ReadonlyArray<string>
}

export const simpleRbac = (policies: Policies, connection: JudgedConnection): SimpleVerdict => {
  const matching = (of: ReadonlyArray<Policy>) =>
    of.filter((policy) => policyMatches(policy, connection)).map(({ key }) => key)
  const log = matching(policies.dryRunDeny).map((key) => `dry-run: deny policy match ${key}`)

  const [denying] = matching(policies.deny)
  if (denying !== undefined) {
    return { allowed: false, by: denying, log: [...log, `deny policy match ${denying}`] }
  }

  const tried = matching(policies.dryRunAllow)
  log.push(...tried.map((key) => `dry-run: allow policy match ${key}`))
  if (policies.allow.length === 0) {
    if (policies.dryRunAllow.length > 0 && tried.length === 0) log.push("dry-run: no allow policies match")
    return { allowed: true, by: undefined, log: [...log, "no allow policies, allow"] }
  }

  const [allowing] = matching(policies.allow)
  return allowing === undefined
    ? { allowed: false, by: undefined, log: [...log, "no allow policies matched"] }
    : { allowed: true, by: allowing, log: [...log, `allow policy match ${allowing}`] }
}

const policyMatches = ({ action, rules }: Policy, connection: JudgedConnection): boolean =>
  rules.some((rule) =>
    rule.every((clause) => clause.length === 0 || clause.some((match) => matchMatches(match, action, connection)))
  )

const matchMatches = (
  match: Match,
  action: Policy["action"],
  { destination, identity, source }: JudgedConnection
): boolean => {
  const [, trustDomain, namespace = "", account] = /^spiffe:..([^/]*).ns.([^/]*).sa.([^/]*)$/.exec(identity ?? "") ?? []
  const kinds = [
    kind(match.destinationIps, action, (range) => inRange(destination.ip, range)),
    kind(match.sourceIps, action, (range) => inRange(source, range)),
    kind(match.destinationPorts, action, (port) => port === destination.port),
    kind(
      match.serviceAccounts,
      action,
      (each) => `${each.namespace}/${each.serviceAccount}` === `${namespace}/${account}`
    ),
    kind(match.principals, action, (text) => {
      return identity !== undefined && textMatches(text, `${trustDomain}/ns/${namespace}/sa/${account}`)
    }),
    kind(match.namespaces, action, (text) => textMatches(text, namespace))
  ].filter((each) => each !== "says nothing")
  return kinds.length > 0 && kinds.every((each) => each === "holds")
}

const kind = <M>(
  condition: Condition<M> | undefined,
  action: Policy["action"],
  is: (matcher: M) => boolean
): "says nothing" | "holds" | "fails" => {
  if (condition === undefined) return "says nothing"
  const { any, none, notUnderstood } = condition
  // weft's own rule; everything else here is ztunnel's
  if (notUnderstood) return action === "Deny" ? "holds" : "fails"
  if (any.length === 0 && none.length === 0) return "says nothing"
  const positive = any.length === 0 || any.some(is)
  const negative = none.some(is)
  return positive && !negative ? "holds" : "fails"
}

const textMatches = (matcher: StringMatcher, text: string): boolean => {
  if (matcher._tag === "Presence") return text.length > 0
  const { value } = matcher
  if (matcher._tag === "Exact") return text === value
  return (matcher._tag === "Prefix" ? text.slice(0, value.length) : text.slice(text.length - value.length)) === value
}

const inRange = (ip: Ip, { text }: Cidr): boolean =>
  IpNetwork.contains(IpNetwork.fromStringUnsafe(text), NetAddress.ipFromStringUnsafe(ip))
