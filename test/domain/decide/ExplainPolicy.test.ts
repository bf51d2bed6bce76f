import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { type Peer, whyOf } from "../../../src/domain/decide/ExplainPolicy.ts"
import { factsOf, matches } from "../../../src/domain/decide/PolicyMatch.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import type { Condition, Match, Policy, Rule } from "../../../src/domain/mesh/Policy.ts"
import { integer, oneOf, THOROUGH } from "../../support/hostileInput.ts"

const policy = (action: Policy["action"], rules: ReadonlyArray<Rule>): Policy => ({
  key: "shop/p",
  name: "p",
  namespace: "shop",
  scope: "Namespace",
  action,
  dryRun: false,
  rules
})

const peer = (identity = true): Peer => ({
  source: ipUnsafe("10.9.0.6"),
  destination: { ip: ipUnsafe("10.9.0.7"), port: 8443 },
  identity: identity
    ? formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "web" })
    : undefined,
  shown: { source: "10.9.0.6", destination: "10.9.0.7" }
})

const of = <M>(any: ReadonlyArray<M>, none: ReadonlyArray<M> = [], notUnderstood = false): Condition<M> => ({
  any,
  none,
  notUnderstood
})
const exact = (value: string) => ({ _tag: "Exact", value }) as const
const cidr = (text: string) => parseCidr(text)!

describe("why a policy matches or not", () => {
  it.each<[rule: Rule, why: string]>([
    [[], "rule 1 matches: it has no conditions"],
    [[[]], "rule 1 matches: it has no conditions"],
    [[[{}]], "rule 1 has a match without any condition, which is nobody's"],
    [
      [[{ principals: of([exact("cluster.local/ns/shop/sa/web")]), destinationPorts: of([80, 8443]) }]],
      "rule 1 matches: source principal cluster.local/ns/shop/sa/web and destination port 80 or 8443"
    ],
    [
      [[{ namespaces: of([{ _tag: "Prefix", value: "boo" }]), destinationPorts: of([80]) }]],
      "rule 1 wants source namespace boo* (here: shop) and destination port 80 (here: 8443)"
    ],
    // of two alternatives, the one that is nearer
    [
      [[{ destinationPorts: of([80]), sourceIps: of([cidr("10.8.0.0/16")]) }, { destinationPorts: of([81]) }]],
      "rule 1 wants destination port 81 (here: 8443)"
    ],
    // the clause that fails is not the first one
    [
      [[{ destinationPorts: of([8443]) }], [{ serviceAccounts: of([{ namespace: "shop", serviceAccount: "job" }]) }]],
      "rule 1 wants source service account shop/job (here: shop/web)"
    ],
    [
      [[{ sourceIps: of<ReturnType<typeof cidr>>([], [cidr("10.9.0.0/16")]) }]],
      "rule 1 wants source address not 10.9.0.0/16 (here: 10.9.0.6)"
    ],
    [
      [[{ destinationIps: of([cidr("10.8.0.0/16")]) }]],
      "rule 1 wants destination address 10.8.0.0/16 (here: 10.9.0.7)"
    ],
    [
      [[{ principals: of([{ _tag: "Suffix", value: "/sa/admin" }], [], true) }]],
      "rule 1 wants source principal */sa/admin and something that cannot be read (here: cluster.local/ns/shop/sa/web)"
    ]
  ])("%j", (rule, why) => assert.deepStrictEqual(whyOf(policy("Allow", [rule]), peer()), [why]))

  it("says that plain TCP has no identity", () => {
    const rule: Rule = [[{ principals: of([{ _tag: "Presence" }]) }]]
    assert.deepStrictEqual(whyOf(policy("Allow", [rule]), peer(false)), [
      "rule 1 wants source principal * (here: none, for plain TCP tells no identity)"
    ])
  })

  it("says that what cannot be read matches in a DENY", () => {
    const rule: Rule = [[{ principals: of([exact("x")], [], true) }]]
    assert.deepStrictEqual(whyOf(policy("Deny", [rule]), peer()), [
      "rule 1 matches: source principal x and something that cannot be read"
    ])
  })

  it("shows three rules of many, and the one that matches wherever it is", () => {
    const no: Rule = [[{ destinationPorts: of([1]) }]]
    const five = [no, no, no, no, no]
    const wants = (rule: number) => `rule ${rule} wants destination port 1 (here: 8443)`
    assert.deepStrictEqual(whyOf(policy("Allow", five), peer()), [
      wants(1),
      wants(2),
      wants(3),
      "nor does any of the other 2 rules match"
    ])
    assert.deepStrictEqual(whyOf(policy("Allow", [...five, []]), peer()), ["rule 6 matches: it has no conditions"])
    assert.deepStrictEqual(whyOf(policy("Allow", []), peer()), ["it has no rules, so it matches nobody"])
  })

  const port = Arbitrary.map(Arbitrary.all([integer(0, 2), oneOf([true, false])]), ([kind, unread]): Match => {
    const ports = [of([80]), of([8443]), of<number>([], [8443])]
    return { destinationPorts: { ...ports[kind]!, notUnderstood: unread } }
  })
  const source = oneOf<Match>([{}, { namespaces: of([exact("shop")]) }, { namespaces: of([exact("books")]) }])
  const match = Arbitrary.map(Arbitrary.all([port, source, integer(0, 2)]), ([port, source, parts]): Match =>
    parts === 0 ? source : parts === 1 ? port : { ...port, ...source }
  )
  const few = { maxLength: 3 }
  const rules = Arbitrary.array(Arbitrary.array(Arbitrary.array(match, few), few), few)

  it.prop(
    "never disagrees with what decides",
    [rules, oneOf<Policy["action"]>(["Allow", "Deny"]), oneOf([true, false])],
    ([rules, action, identity]) => {
      const asked = peer(identity)
      const [first = ""] = whyOf(policy(action, rules), asked)
      assert.strictEqual(first.includes(" matches: "), matches(policy(action, rules), factsOf(asked)), first)
      assert.notInclude(first, "undefined")
    },
    THOROUGH
  )
})
