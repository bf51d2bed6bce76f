/**
 * Why a policy matches a connection, or why it does not, in words. Asked of what decides that for connections, with policies
 * that consist of one rule, clause or condition of the real one.
 */
import * as Result from "effect/Result"
import type { Cidr } from "../Cidr.ts"
import { type Identity, parseIdentity } from "../Identity.ts"
import type { Condition, Match, Policy, Rule, StringMatcher } from "../mesh/Policy.ts"
import { listed } from "./ExplainWords.ts"
import { factsOf, type JudgedConnection, matches } from "./PolicyMatch.ts"

/** The connection, and how its addresses are called. */
export interface Peer extends JudgedConnection {
  readonly shown: { readonly source: string; readonly destination: string }
}

export const whyOf = (policy: Policy, peer: Peer): ReadonlyArray<string> => {
  const facts = factsOf(peer)
  const holds = (rule: Rule) => matches({ ...policy, rules: [rule] }, facts)
  if (policy.rules.length === 0) return ["it has no rules, so it matches nobody"]
  const matched = policy.rules.findIndex(holds)
  if (matched >= 0) return [`rule ${matched + 1} matches: ${wantedBy(policy.rules[matched]!, holds, peer)}`]
  const lines = policy.rules.slice(0, SHOWN).map((rule, index) => `rule ${index + 1} ${missedBy(rule, holds, peer)}`)
  const rest = policy.rules.length - lines.length
  return rest > 0 ? [...lines, `nor does any of the other ${rest} rules match`] : lines
}

type Holds = (rule: Rule) => boolean

/** What a rule that matches asks for. */
const wantedBy = (rule: Rule, holds: Holds, peer: Peer): string => {
  const wanted = rule.flatMap((clause) => {
    const match = clause.find((each) => holds([[each]]))
    return match === undefined ? [] : partsOf(match, peer).map(({ label, wanted }) => `${label} ${wanted}`)
  })
  return wanted.length === 0 ? "it has no conditions" : listed(wanted, "and", MANY)
}

/** What a rule that does not match asks for, and what there is instead: of the clause that fails, the closest match. */
const missedBy = (rule: Rule, holds: Holds, peer: Peer): string => {
  const clause = rule.find((each) => !holds([each])) ?? []
  const [closest] = clause
    .map((match) => partsOf(match, peer).filter((part) => !holds([[part.match]])))
    .toSorted((a, b) => a.length - b.length)
  if (closest === undefined || closest.length === 0) return "has a match without any condition, which is nobody's"
  return `wants ${listed(
    closest.map(({ actual, label, wanted }) => `${label} ${wanted} (here: ${actual})`),
    "and",
    MANY
  )}`
}

/** One kind of condition of a match. */
interface Part {
  readonly label: string
  readonly wanted: string
  readonly actual: string
  /** The match that consists of it. */
  readonly match: Match
}

const partsOf = (match: Match, { destination, identity, shown }: Peer): ReadonlyArray<Part> => {
  const who = identity === undefined ? undefined : Result.getOrUndefined(parseIdentity(identity))
  const named = (of: (identity: Identity) => string) => (who === undefined ? NOBODY : of(who))
  const principal = (each: Identity) => `${each.trustDomain}/ns/${each.namespace}/sa/${each.serviceAccount}`
  const account = (each: { readonly namespace: string; readonly serviceAccount: string }) =>
    `${each.namespace}/${each.serviceAccount}`
  const port = String(destination.port)
  return [
    ...part(
      "source namespace",
      match.namespaces,
      stringText,
      named(({ namespace }) => namespace),
      (namespaces) => ({ namespaces })
    ),
    ...part("source principal", match.principals, stringText, named(principal), (principals) => ({ principals })),
    ...part("source service account", match.serviceAccounts, account, named(account), (serviceAccounts) => ({
      serviceAccounts
    })),
    ...part("source address", match.sourceIps, cidrText, shown.source, (sourceIps) => ({ sourceIps })),
    ...part("destination address", match.destinationIps, cidrText, shown.destination, (destinationIps) => ({
      destinationIps
    })),
    ...part("destination port", match.destinationPorts, String, port, (destinationPorts) => ({ destinationPorts }))
  ]
}

const part = <M>(
  label: string,
  condition: Condition<M> | undefined,
  text: (matcher: M) => string,
  actual: string,
  alone: (condition: Condition<M>) => Match
): ReadonlyArray<Part> =>
  condition === undefined ? [] : [{ label, wanted: wantedText(condition, text), actual, match: alone(condition) }]

const wantedText = <M>({ any, none, notUnderstood }: Condition<M>, text: (matcher: M) => string): string => {
  const wanted: Array<string> = []
  if (any.length > 0) wanted.push(listed(any.map(text), "or"))
  if (none.length > 0) wanted.push(`not ${listed(none.map(text), "or")}`)
  if (notUnderstood) wanted.push("something that cannot be read")
  return wanted.join(" and ")
}

/** As in Istio's own policies. */
const stringText = (matcher: StringMatcher): string => {
  switch (matcher._tag) {
    case "Exact":
      return matcher.value
    case "Prefix":
      return `${matcher.value}*`
    case "Suffix":
      return `*${matcher.value}`
    case "Presence":
      return "*"
  }
}

const cidrText = ({ text }: Cidr): string => text

const NOBODY = "none, for plain TCP tells no identity"
const SHOWN = 3
const MANY = 8
