/** Policies and connections from so few names, addresses and ports that they often concern each other. For properties. */
import * as Arbitrary from "effect/Arbitrary"
import { ipUnsafe } from "../../src/domain/Address.ts"
import { parseCidr } from "../../src/domain/Cidr.ts"
import type { JudgedConnection } from "../../src/domain/decide/Rbac.ts"
import { formatIdentity } from "../../src/domain/Identity.ts"
import type { Condition, Match, Policy, Rule, StringMatcher } from "../../src/domain/mesh/Policy.ts"
import { integer, oneOf } from "./hostileInput.ts"
import { policy } from "./meshes.ts"

const NAMESPACES = ["a", "b", "ab", ""]
const ACCOUNTS = ["x", "y"]
const TRUST_DOMAINS = ["cluster.local", "old.local"]
const IPS = ["10.0.0.1", "10.0.1.1", "192.168.0.1", "2001:db8::1", "::1"]
const RANGES = ["10.0.0.0/24", "10.0.1.1/32", "0.0.0.0/0", "::/0", "2001:db8::/33", "::ffff:10.0.0.0/111"]
const PORTS = [80, 8080, 0]

const port = oneOf(PORTS)
const ip = Arbitrary.map(oneOf(IPS), ipUnsafe)
const range = Arbitrary.map(oneOf(RANGES), (text) => parseCidr(text)!)
const account = Arbitrary.all({ namespace: oneOf(NAMESPACES), serviceAccount: oneOf(ACCOUNTS) })
const identity = Arbitrary.map(Arbitrary.all([account, oneOf(TRUST_DOMAINS)]), ([account, trustDomain]) =>
  formatIdentity({ ...account, trustDomain })
)

const text = (exact: Arbitrary.Arbitrary<string>): Arbitrary.Arbitrary<StringMatcher> =>
  Arbitrary.map(
    Arbitrary.all({ _tag: oneOf(["Exact", "Prefix", "Suffix", "Presence"] as const), exact, part: integer(0, 20) }),
    ({ _tag, exact, part }): StringMatcher => {
      if (_tag === "Presence") return { _tag }
      if (_tag === "Exact") return { _tag, value: exact }
      return { _tag, value: _tag === "Prefix" ? exact.slice(0, part) : exact.slice(-part) }
    }
  )

const namespaceMatcher = text(oneOf(NAMESPACES))

/** One in a few is written with the scheme, and so matches nobody. */
const principalMatcher = text(
  Arbitrary.map(Arbitrary.all([identity, integer(0, 3)]), ([identity, way]) => identity.slice(way === 0 ? 0 : 9))
)

/** Mostly without. */
const maybe = <A>(value: Arbitrary.Arbitrary<A>): Arbitrary.Arbitrary<A | undefined> =>
  Arbitrary.map(Arbitrary.all([integer(0, 2), value]), ([chance, value]) => (chance === 0 ? value : undefined))

const condition = <M>(matcher: Arbitrary.Arbitrary<M>): Arbitrary.Arbitrary<Condition<M>> =>
  Arbitrary.map(
    Arbitrary.all({
      any: Arbitrary.array(matcher, { maxLength: 2 }),
      none: Arbitrary.array(matcher, { maxLength: 1 }),
      chance: integer(0, 9)
    }),
    ({ any, chance, none }) => ({ any, none, notUnderstood: chance === 9 })
  )

/** A match of one kind of condition, with a single positive matcher, all of it understood. */
export const simpleMatch: Arbitrary.Arbitrary<Match> = Arbitrary.map(
  Arbitrary.all({
    kind: integer(0, 5),
    namespaces: namespaceMatcher,
    principals: principalMatcher,
    serviceAccounts: account,
    sourceIps: range,
    destinationIps: range,
    destinationPorts: port
  }),
  ({ kind, ...matchers }) => {
    const [[name, matcher]] = [Object.entries(matchers)[kind]!]
    return { [name]: { any: [matcher], none: [], notUnderstood: false } }
  }
)

export const match: Arbitrary.Arbitrary<Match> = Arbitrary.map(
  Arbitrary.all({
    namespaces: maybe(condition(namespaceMatcher)),
    principals: maybe(condition(principalMatcher)),
    serviceAccounts: maybe(condition(account)),
    sourceIps: maybe(condition(range)),
    destinationIps: maybe(condition(range)),
    destinationPorts: maybe(condition(port))
  }),
  // an absent kind has no key
  (kinds): Match => Object.fromEntries(Object.entries(kinds).filter(([, condition]) => condition !== undefined))
)

const rule: Arbitrary.Arbitrary<Rule> = Arbitrary.array(Arbitrary.array(match, { maxLength: 2 }), {
  maxLength: 2
})

/** Any policy of this namespace and name. */
export const policyNamed = (namespace: string, name: string): Arbitrary.Arbitrary<Policy> =>
  Arbitrary.map(
    Arbitrary.all({
      scope: oneOf(["Global", "Namespace", "WorkloadSelector"] as const),
      action: oneOf(["Allow", "Deny"] as const),
      chance: integer(0, 3),
      rules: Arbitrary.array(rule, { maxLength: 3 })
    }),
    ({ chance, ...rest }) => policy(name, { ...rest, namespace, dryRun: chance === 3 })
  )

/** Up to six of one namespace, in the order of their keys. */
export const policiesIn = (namespace: string): Arbitrary.Arbitrary<ReadonlyArray<Policy>> =>
  Arbitrary.map(
    Arbitrary.all([0, 1, 2, 3, 4, 5].map((index) => maybe(policyNamed(namespace, `p${index}`)))),
    (policies) => policies.filter((each) => each !== undefined)
  )

export const connection: Arbitrary.Arbitrary<JudgedConnection> = Arbitrary.map(
  Arbitrary.all({ source: ip, destination: Arbitrary.all({ ip, port }), identity, chance: integer(0, 3) }),
  ({ chance, identity, ...rest }) => ({ ...rest, identity: chance === 3 ? undefined : identity })
)
