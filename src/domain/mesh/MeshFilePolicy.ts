/**
 * One entry of `policies` in a mesh file (reference state §7). A string matcher is a tag (`!Prefix cluster.local/ns/`), or
 * the map that ztunnel prints in its dump and JSON can write (`{Prefix: cluster.local/ns/}`).
 *
 * Stricter than ztunnel, which skips a key of a match that it does not know: an ALLOW would then hold for more than was
 * written.
 */
import * as Result from "effect/Result"
import { isMap, isScalar, isSeq } from "yaml"
import { cidr, port } from "./MeshFileFields.ts"
import type { Condition, Match, Policy, ServiceAccountMatcher, StringMatcher } from "./Policy.ts"
import {
  type At,
  fail,
  flag,
  list,
  mapping,
  oneOf,
  optional,
  type Read,
  required,
  tagOf,
  text,
  unexpected
} from "./YamlReader.ts"

type MatcherMap = { readonly [K in StringMatcher["_tag"]]: StringMatcher | undefined }

const textOf =
  (_tag: Exclude<StringMatcher["_tag"], "Presence">): Read<StringMatcher> =>
  (place) =>
    Result.map(text(place), (value) => ({ _tag, value }))

const presence: Read<StringMatcher> = (place) =>
  isSeq(place.node) && place.node.items.length === 0
    ? Result.succeed({ _tag: "Presence" })
    : unexpected(place, "an empty list")

const matcherMap = mapping<MatcherMap>({
  Exact: optional(textOf("Exact"), undefined),
  Prefix: optional(textOf("Prefix"), undefined),
  Suffix: optional(textOf("Suffix"), undefined),
  Presence: optional(presence, undefined)
})

const MATCHERS = "!Exact text, !Prefix text, !Suffix text or !Presence []"

const stringMatcher: Read<StringMatcher> = (place) => {
  const tag = tagOf(place)
  if (tag !== undefined) return tagged(place, tag)
  if (!isMap(place.node)) return unexpected(place, MATCHERS)
  return Result.flatMap(matcherMap(place), (matchers) => {
    const [only, ...others] = Object.values(matchers).filter((matcher) => matcher !== undefined)
    return only === undefined || others.length > 0 ? fail(place, "a matcher has exactly one key") : Result.succeed(only)
  })
}

const tagged = (place: At, tag: string) => {
  const { node } = place
  if (tag === "!Presence") return presence(place)
  const _tag = (["Exact", "Prefix", "Suffix"] as const).find((word) => `!${word}` === tag)
  // behind a tag any scalar is text, but nothing at all is a text that was forgotten
  const value = isScalar(node) && (node.value !== "" || node.type !== "PLAIN") ? node.value : undefined
  return _tag === undefined || typeof value !== "string" ? unexpected(place, MATCHERS) : Result.succeed({ _tag, value })
}

/** Compared with an identity without its scheme: with one it matches nobody (reference state §10, 24). */
const principal: Read<StringMatcher> = (place) =>
  Result.flatMap(stringMatcher(place), (matcher) =>
    (matcher._tag === "Exact" || matcher._tag === "Prefix") && matcher.value.startsWith("spiffe://")
      ? fail(place, `principals are written without spiffe://, as ${matcher.value.slice("spiffe://".length)}`)
      : Result.succeed(matcher)
  )

const account = mapping<ServiceAccountMatcher>({ namespace: required(text), serviceAccount: required(text) })

const matchers = <M>(read: Read<M>) => optional(list(read), [])

const matchFields = mapping({
  namespaces: matchers(stringMatcher),
  notNamespaces: matchers(stringMatcher),
  principals: matchers(principal),
  notPrincipals: matchers(principal),
  serviceAccounts: matchers(account),
  notServiceAccounts: matchers(account),
  sourceIps: matchers(cidr),
  notSourceIps: matchers(cidr),
  destinationIps: matchers(cidr),
  notDestinationIps: matchers(cidr),
  destinationPorts: matchers(port),
  notDestinationPorts: matchers(port)
})

/** Empty lists are as good as absent ones. */
const match: Read<Match> = (place) =>
  Result.map(matchFields(place), (fields) => ({
    ...condition("namespaces", fields.namespaces, fields.notNamespaces),
    ...condition("principals", fields.principals, fields.notPrincipals),
    ...condition("serviceAccounts", fields.serviceAccounts, fields.notServiceAccounts),
    ...condition("sourceIps", fields.sourceIps, fields.notSourceIps),
    ...condition("destinationIps", fields.destinationIps, fields.notDestinationIps),
    ...condition("destinationPorts", fields.destinationPorts, fields.notDestinationPorts)
  }))

const condition = <K extends keyof Match, M>(
  kind: K,
  any: ReadonlyArray<M>,
  none: ReadonlyArray<M>
): { readonly [P in K]?: Condition<M> } =>
  // of the two, only the key is computed
  any.length + none.length === 0 ? {} : ({ [kind]: { any, none, notUnderstood: false } } as { [P in K]: Condition<M> })

const entry = mapping<Omit<Policy, "key">>({
  name: required(text),
  namespace: required(text),
  scope: required(oneOf("Global", "Namespace", "WorkloadSelector")),
  action: required(oneOf("Allow", "Deny")),
  dryRun: required(flag),
  rules: required(list(list(list(match))))
})

export const policy: Read<Policy> = (place) =>
  Result.map(entry(place), (entry) => ({ ...entry, key: `${entry.namespace}/${entry.name}` }))
