/**
 * Whether a policy is about a connection (reference state §5.4): any rule, of a rule every clause, of a clause any match,
 * of a match every kind of condition, of a condition any positive and no negative. A workload may have ten thousand
 * policies, so what they compare with is prepared once for each connection, and nothing is allocated afterwards. Loops by index take
 * two thirds of the time of `for of` here.
 */
import * as Result from "effect/Result"
import type { Ip, SocketAddress } from "../Address.ts"
import { type Cidr, contains, type IpWords, ipWords } from "../Cidr.ts"
import { type Identity, parseIdentity, type Spiffe } from "../Identity.ts"
import type { Clause, Condition, Match, Policy, Rule, ServiceAccountMatcher, StringMatcher } from "../mesh/Policy.ts"

export interface JudgedConnection {
  readonly source: Ip
  /** The workload's own address, and the port that the bytes go to. */
  readonly destination: SocketAddress
  /** Verified, or none: plain TCP. */
  readonly identity: Spiffe | undefined
}

/** A connection, as matchers compare it. */
export interface Facts {
  readonly source: IpWords
  readonly destination: IpWords
  readonly port: number
  readonly identity: Identity | undefined
  /** Without the scheme, as policies write it: `cluster.local/ns/shop/sa/web`. */
  readonly principal: string | undefined
  /** Empty without an identity. */
  readonly namespace: string
}

export const factsOf = ({ destination, identity: spiffe, source }: JudgedConnection): Facts => {
  const identity = spiffe === undefined ? undefined : Result.getOrUndefined(parseIdentity(spiffe))
  return {
    source: ipWords(source),
    destination: ipWords(destination.ip),
    port: destination.port,
    identity,
    principal: identity === undefined ? undefined : spiffe?.slice(SCHEME.length),
    namespace: identity?.namespace ?? ""
  }
}

export const matches = ({ action, rules }: Policy, facts: Facts): boolean => {
  // what cannot be read holds in a DENY and fails in an ALLOW
  const unread = action === "Deny"
  for (let index = 0; index < rules.length; index += 1) {
    if (ruleHolds(rules[index]!, facts, unread)) return true
  }
  return false
}

const ruleHolds = (rule: Rule, facts: Facts, unread: boolean): boolean => {
  for (let index = 0; index < rule.length; index += 1) {
    if (!clauseHolds(rule[index]!, facts, unread)) return false
  }
  return true
}

const clauseHolds = (clause: Clause, facts: Facts, unread: boolean): boolean => {
  for (let index = 0; index < clause.length; index += 1) {
    if (matchHolds(clause[index]!, facts, unread)) return true
  }
  return clause.length === 0
}

const matchHolds = (match: Match, facts: Facts, unread: boolean): boolean =>
  conditionHolds(match.destinationPorts, isPort, facts, unread) &&
  conditionHolds(match.namespaces, isNamespace, facts, unread) &&
  conditionHolds(match.principals, isPrincipal, facts, unread) &&
  conditionHolds(match.serviceAccounts, isServiceAccount, facts, unread) &&
  conditionHolds(match.sourceIps, isSource, facts, unread) &&
  conditionHolds(match.destinationIps, isDestination, facts, unread) &&
  !isEmpty(match)

const conditionHolds = <M>(
  condition: Condition<M> | undefined,
  is: (matcher: M, facts: Facts) => boolean,
  facts: Facts,
  unread: boolean
): boolean => {
  if (condition === undefined) return true
  const { any, none, notUnderstood } = condition
  if (notUnderstood) return unread
  for (let index = 0; index < none.length; index += 1) {
    if (is(none[index]!, facts)) return false
  }
  for (let index = 0; index < any.length; index += 1) {
    if (is(any[index]!, facts)) return true
  }
  return any.length === 0
}

/** It says nothing at all; a condition without matchers says nothing either. */
const isEmpty = (match: Match): boolean =>
  saysNothing(match.destinationPorts) &&
  saysNothing(match.namespaces) &&
  saysNothing(match.principals) &&
  saysNothing(match.serviceAccounts) &&
  saysNothing(match.sourceIps) &&
  saysNothing(match.destinationIps)

const saysNothing = (condition: Condition<unknown> | undefined): boolean =>
  condition === undefined || (condition.any.length === 0 && condition.none.length === 0 && !condition.notUnderstood)

const isPort = (port: number, facts: Facts): boolean => port === facts.port

const isSource = (range: Cidr, facts: Facts): boolean => contains(range, facts.source)

const isDestination = (range: Cidr, facts: Facts): boolean => contains(range, facts.destination)

const isNamespace = (matcher: StringMatcher, facts: Facts): boolean => isText(matcher, facts.namespace)

const isPrincipal = (matcher: StringMatcher, { principal }: Facts): boolean =>
  principal !== undefined && isText(matcher, principal)

/** Of any trust domain. */
const isServiceAccount = ({ namespace, serviceAccount }: ServiceAccountMatcher, { identity }: Facts): boolean =>
  identity !== undefined && identity.serviceAccount === serviceAccount && identity.namespace === namespace

const isText = (matcher: StringMatcher, text: string): boolean => {
  switch (matcher._tag) {
    case "Exact":
      return text === matcher.value
    case "Prefix":
      return text.startsWith(matcher.value)
    case "Suffix":
      return text.endsWith(matcher.value)
    case "Presence":
      return text !== ""
  }
}

const SCHEME = "spiffe://"
