/**
 * `istio.security.Authorization` → domain (reference state §5.4). ztunnel drops a matcher that it cannot read, which opens
 * an ALLOW when it was a negated one and voids a DENY (§10, 19); here its whole condition is `notUnderstood`. Ports that
 * there are not, which ztunnel cuts to 16 bits (§10, 15), are treated alike.
 *
 * A length of an address that is not set means 0, the whole family (§10, 20): proto3 cannot tell the two apart.
 */
import { type Cidr, cidrFromOctets } from "../Cidr.ts"
import type { Condition, Match, Policy, PolicyKey, ServiceAccountMatcher, StringMatcher } from "../mesh/Policy.ts"
import type * as Wire from "./gen/authorization_pb.ts"
import { known } from "./WorkloadMessage.ts"

/** Throws `Rejected`. */
export const toPolicy = (key: PolicyKey, wire: Wire.Authorization): Policy => ({
  key,
  name: wire.name,
  namespace: wire.namespace,
  scope: known(POLICY_SCOPES, wire.scope, "scope"),
  action: known(ACTIONS, wire.action, "action"),
  dryRun: wire.dryRun,
  rules: wire.rules.map(({ clauses }) => clauses.map(({ matches }) => matches.map(toMatch)))
})

type Conditions = { -readonly [K in keyof Match]: Match[K] }

const toMatch = (wire: Wire.Match): Match => {
  const match: Conditions = {}
  const namespaces = condition(wire.namespaces, wire.notNamespaces, toText)
  if (namespaces !== undefined) match.namespaces = namespaces
  const principals = condition(wire.principals, wire.notPrincipals, toText)
  if (principals !== undefined) match.principals = principals
  const serviceAccounts = condition(wire.serviceAccounts, wire.notServiceAccounts, toServiceAccount)
  if (serviceAccounts !== undefined) match.serviceAccounts = serviceAccounts
  const sourceIps = condition(wire.sourceIps, wire.notSourceIps, toRange)
  if (sourceIps !== undefined) match.sourceIps = sourceIps
  const destinationIps = condition(wire.destinationIps, wire.notDestinationIps, toRange)
  if (destinationIps !== undefined) match.destinationIps = destinationIps
  const destinationPorts = condition(wire.destinationPorts, wire.notDestinationPorts, toPort)
  if (destinationPorts !== undefined) match.destinationPorts = destinationPorts
  return match
}

/** `read` answers undefined for what it cannot understand. */
const condition = <W, M>(
  any: ReadonlyArray<W>,
  none: ReadonlyArray<W>,
  read: (wire: W) => M | undefined
): Condition<M> | undefined => {
  if (any.length === 0 && none.length === 0) return undefined
  const understood = { any: understoodOf(any, read), none: understoodOf(none, read) }
  const notUnderstood = understood.any.length < any.length || understood.none.length < none.length
  return { ...understood, notUnderstood }
}

const understoodOf = <W, M>(wire: ReadonlyArray<W>, read: (wire: W) => M | undefined): ReadonlyArray<M> => {
  const matchers: Array<M> = []
  for (const each of wire) {
    const matcher = read(each)
    if (matcher !== undefined) matchers.push(matcher)
  }
  return matchers
}

const toText = ({ matchType }: Wire.StringMatch): StringMatcher | undefined => {
  switch (matchType.case) {
    case "exact":
      return { _tag: "Exact", value: matchType.value }
    case "prefix":
      return { _tag: "Prefix", value: matchType.value }
    case "suffix":
      return { _tag: "Suffix", value: matchType.value }
    case "presence":
      return { _tag: "Presence" }
    case undefined:
      return undefined
  }
}

const toServiceAccount = ({ namespace, serviceAccount }: Wire.ServiceAccountMatch): ServiceAccountMatcher => ({
  namespace,
  serviceAccount
})

const toRange = ({ address, length }: Wire.Address): Cidr | undefined => cidrFromOctets(address, length)

const toPort = (wire: number): number | undefined => (wire > 65535 ? undefined : wire)

/** In the order of their numbers, as are all that follow. */
export const POLICY_SCOPES = ["Global", "Namespace", "WorkloadSelector"] as const
export const ACTIONS = ["Allow", "Deny"] as const
