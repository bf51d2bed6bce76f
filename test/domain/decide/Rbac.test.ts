import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { ipUnsafe, parseSocketAddress } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { describe as textOf } from "../../../src/domain/connection/ProxyError.ts"
import { type JudgedConnection, judge, rejection } from "../../../src/domain/decide/Rbac.ts"
import { rbacLines } from "../../../src/domain/decide/RbacLog.ts"
import { Step } from "../../../src/domain/decide/Trace.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import type { Condition, Match, Policies, Policy, Rule, StringMatcher } from "../../../src/domain/mesh/Policy.ts"
import { integer, oneOf } from "../../support/hostileInput.ts"
import { policy } from "../../support/meshes.ts"
import { connection, match, policiesIn, policyNamed, simpleMatch } from "../../support/policyArbitrary.ts"
import { guarded, judgesAsTheSimpleOne, policiesOf, verdictAndLog } from "../../support/rbacModel.ts"

const NONE: Policies = { dryRunDeny: [], deny: [], dryRunAllow: [], allow: [], missing: [] }
const RUNS = { arbitrary: { runs: 300 } }

/** `who`: `namespace/service account` of cluster.local, or a whole identity; undefined: plain TCP. */
const from = (who: string | undefined, source = "10.0.0.1", destination = "10.0.0.9:80"): JudgedConnection => {
  const [namespace = "", serviceAccount = ""] = who?.split("/") ?? []
  return {
    source: ipUnsafe(source),
    destination: Result.getOrThrow(parseSocketAddress(destination)),
    identity:
      who === undefined ? undefined : formatIdentity({ trustDomain: "cluster.local", namespace, serviceAccount })
  }
}

const any = <M>(...any: ReadonlyArray<M>): Condition<M> => ({ any, none: [], notUnderstood: false })
const none = <M>(...none: ReadonlyArray<M>): Condition<M> => ({ any: [], none, notUnderstood: false })
const exact = (value: string): StringMatcher => ({ _tag: "Exact", value })
const range = (text: string) => parseCidr(text)!

const allow = (name: string, rules: ReadonlyArray<Rule>) => policy(name, { rules })
const deny = (name: string, rules: ReadonlyArray<Rule>) => policy(name, { rules, action: "Deny" })
/** Rules that match everybody, and nobody. */
const EVERYBODY: ReadonlyArray<Rule> = [[]]
const NOBODY: ReadonlyArray<Rule> = []

/** Whether the rules match, which an ALLOW and a DENY of them agree on. */
const matches = (rules: ReadonlyArray<Rule>, connection: JudgedConnection): boolean => {
  const allowed = judge({ ...NONE, allow: [allow("p", rules)] }, guarded, connection)._tag === "Allowed"
  assert.strictEqual(judge({ ...NONE, deny: [deny("p", rules)] }, guarded, connection)._tag === "Denied", allowed)
  return allowed
}

const holds = (match: Match, connection: JudgedConnection) => matches([[[match]]], connection)

describe("what is empty", () => {
  const cases: ReadonlyArray<[string, ReadonlyArray<Rule>, boolean]> = [
    ["a policy without rules matches nobody", [], false],
    ["a rule without clauses matches everybody", [[]], true],
    ["a clause without matches holds", [[[]]], true],
    ["a clause without matches adds nothing to another", [[[], [{ destinationPorts: any(81) }]]], false],
    ["a match without conditions holds for nobody", [[[{}]]], false],
    ["nor does one whose condition has no matchers", [[[{ namespaces: any() }]]], false],
    ["a match without conditions is no obstacle to the next", [[[{}, { destinationPorts: any(80) }]]], true],
    ["a condition without matchers adds nothing", [[[{ namespaces: any(), destinationPorts: any(80) }]]], true],
    ["a condition with negated matchers only holds when none of them does", [[[{ destinationPorts: none(81) }]]], true]
  ]
  it.each(cases)("%s", (_, rules, expected) => assert.strictEqual(matches(rules, from("a/x")), expected))
})

describe("each kind of condition", () => {
  const byIdentity = [undefined, "a/x", "b/y"].map((who) => from(who))
  const bySource = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map((source) => from("a/x", source))
  const byAddress = ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"].map((to) => from("a/x", "10.9.9.9", to))
  const byPort = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:81"].map((to) => from("a/x", "10.9.9.9", to))
  const kinds: ReadonlyArray<[string, (way: typeof any) => Match, ReadonlyArray<JudgedConnection>, string]> = [
    ["namespaces", (way) => ({ namespaces: way(exact("a")) }), byIdentity, "F T F"],
    ["principals", (way) => ({ principals: way(exact("cluster.local/ns/a/sa/x")) }), byIdentity, "F T F"],
    [
      "service accounts",
      (way) => ({ serviceAccounts: way({ namespace: "a", serviceAccount: "x" }) }),
      byIdentity,
      "F T F"
    ],
    ["source addresses", (way) => ({ sourceIps: way(range("10.0.0.1/32")) }), bySource, "T T F"],
    ["destination addresses", (way) => ({ destinationIps: way(range("10.0.0.1/32")) }), byAddress, "T T F"],
    ["destination ports", (way) => ({ destinationPorts: way(80) }), byPort, "T T F"]
  ]

  it.each(kinds)("%s: a positive matcher, and negated the opposite", (_, of, connections, expected) => {
    const answers = (way: typeof any) => connections.map((each) => (holds(of(way), each) ? "T" : "F")).join(" ")
    assert.strictEqual(answers(any), expected)
    assert.strictEqual(
      answers(none),
      expected.replaceAll(/[TF]/g, (each) => (each === "T" ? "F" : "T"))
    )
  })

  it("any positive is enough, and any negated one too much", () => {
    const ports = { any: [80, 81], none: [81, 82], notUnderstood: false }
    const to = (port: number) => holds({ destinationPorts: ports }, from("a/x", "10.0.0.1", `10.0.0.9:${port}`))
    assert.deepStrictEqual([80, 81, 82, 83].map(to), [true, false, false, false])
  })

  it("all of a match have to hold", () => {
    const match = { namespaces: any(exact("a")), destinationPorts: any(80) }
    assert.isTrue(holds(match, from("a/x")))
    assert.isFalse(holds(match, from("b/x")))
    assert.isFalse(holds(match, from("a/x", "10.0.0.1", "10.0.0.9:81")))
  })

  it("a service account is the same in every trust domain, a principal is not", () => {
    const foreign = {
      ...from("a/x"),
      identity: formatIdentity({ trustDomain: "old.local", namespace: "a", serviceAccount: "x" })
    }
    assert.isTrue(holds({ serviceAccounts: any({ namespace: "a", serviceAccount: "x" }) }, foreign))
    assert.isFalse(holds({ serviceAccounts: any({ namespace: "a", serviceAccount: "xx" }) }, foreign))
    assert.isTrue(holds({ principals: any(exact("old.local/ns/a/sa/x")) }, foreign))
    assert.isFalse(holds({ principals: any(exact("cluster.local/ns/a/sa/x")) }, foreign))
  })

  it("a principal with its scheme is nobody's", () => {
    assert.isFalse(holds({ principals: any(exact("spiffe://cluster.local/ns/a/sa/x")) }, from("a/x")))
  })

  it("ranges cover their own family only", () => {
    const covers = (text: string, ip: string) => holds({ sourceIps: any(range(text)) }, from("a/x", ip))
    assert.deepStrictEqual(
      ["127.0.0.1", "127.0.0.77", "127.0.0.255"].map((ip) => covers("127.0.0.1/24", ip)),
      [true, true, true]
    )
    assert.isFalse(covers("127.0.0.1/24", "127.0.1.0"))
    assert.isFalse(covers("0.0.0.0/0", "2001:db8::1"))
    assert.isFalse(covers("::/0", "10.0.0.1"))
    assert.isTrue(covers("2001:db8::/32", "2001:db8:1::1"))
  })
})

describe("text", () => {
  const principal = "cluster.local/ns/a/sa/x"
  const cases: ReadonlyArray<[StringMatcher["_tag"], string, boolean]> = [
    ["Exact", principal, true],
    ["Exact", "cluster.local/ns/a/sa/", false],
    ["Exact", "Cluster.local/ns/a/sa/x", false],
    ["Exact", "", false],
    ["Prefix", "cluster.local/ns/a/", true],
    ["Prefix", principal, true],
    ["Prefix", `${principal}y`, false],
    ["Prefix", "luster.local/", false],
    ["Prefix", "", true],
    ["Suffix", "/sa/x", true],
    ["Suffix", `a${principal}`, false],
    ["Suffix", "/sa/", false],
    ["Suffix", "", true],
    ["Presence", "", true]
  ]
  it.each(cases)("%s %j of a principal: %s", (_tag, value, expected) => {
    const matcher: StringMatcher = _tag === "Presence" ? { _tag } : { _tag, value }
    assert.strictEqual(holds({ principals: any(matcher) }, from("a/x")), expected)
    // without a principal there is no text, not even the empty one
    assert.isFalse(holds({ principals: any(matcher) }, from(undefined)))
    assert.isTrue(holds({ principals: none(matcher) }, from(undefined)))
  })

  const ofNoNamespace: ReadonlyArray<[StringMatcher, boolean]> = [
    [{ _tag: "Presence" }, false],
    [exact(""), true],
    [exact("a"), false],
    [{ _tag: "Prefix", value: "" }, true],
    [{ _tag: "Prefix", value: "a" }, false],
    [{ _tag: "Suffix", value: "" }, true]
  ]
  it.each(ofNoNamespace)("%j of the namespace of plain TCP, which is empty: %s", (matcher, expected) => {
    assert.strictEqual(holds({ namespaces: any(matcher) }, from(undefined)), expected)
    assert.strictEqual(holds({ namespaces: none(matcher) }, from(undefined)), !expected)
  })
})

describe("nesting", () => {
  const to = (who: string, port: number) => from(who, "10.0.0.1", `10.0.0.9:${port}`)

  it("every clause of a rule, any match of a clause", () => {
    const rules = [
      [[{ namespaces: any(exact("a")) }, { namespaces: any(exact("b")) }], [{ destinationPorts: any(80) }]]
    ]
    const asked = [to("a/x", 80), to("b/x", 80), to("c/x", 80), to("a/x", 81)]
    assert.deepStrictEqual(
      asked.map((each) => matches(rules, each)),
      [true, true, false, false]
    )
  })

  it("any rule of a policy", () => {
    const rules = [[[{ namespaces: any(exact("a")) }]], [[{ destinationPorts: any(80) }]]]
    const asked = [to("a/x", 81), to("b/x", 80), to("b/x", 81)]
    assert.deepStrictEqual(
      asked.map((each) => matches(rules, each)),
      [true, true, false]
    )
  })
})

describe("the order", () => {
  const REFUSED = "connection closed due to policy rejection: "
  const cases: ReadonlyArray<[string, Partial<Policies>, string]> = [
    ["nothing applies", {}, "allowed"],
    ["a DENY that does not match", { deny: [deny("no", NOBODY)] }, "allowed"],
    ["a DENY that matches", { deny: [deny("no", EVERYBODY)] }, `${REFUSED}explicitly denied by: shop/no`],
    [
      "two DENY that match: the first is named",
      { deny: [deny("a", NOBODY), deny("b", EVERYBODY), deny("c", EVERYBODY)] },
      `${REFUSED}explicitly denied by: shop/b`
    ],
    [
      "DENY before ALLOW",
      { deny: [deny("no", EVERYBODY)], allow: [allow("yes", EVERYBODY)] },
      `${REFUSED}explicitly denied by: shop/no`
    ],
    ["an ALLOW that matches", { allow: [allow("a", NOBODY), allow("b", EVERYBODY)] }, "allowed by shop/b"],
    [
      "ALLOW policies that do not match",
      { allow: [allow("a", NOBODY), allow("b", NOBODY)] },
      `${REFUSED}allow policies exist, but none allowed`
    ],
    [
      "a DENY that does not match does not allow",
      { deny: [deny("no", NOBODY)], allow: [allow("yes", NOBODY)] },
      `${REFUSED}allow policies exist, but none allowed`
    ],
    ["a DENY on trial", { dryRunDeny: [deny("no", EVERYBODY)] }, "allowed"],
    ["an ALLOW on trial", { dryRunAllow: [allow("yes", NOBODY)] }, "allowed"],
    [
      "an ALLOW on trial does not allow",
      { dryRunAllow: [allow("yes", EVERYBODY)], allow: [allow("no", NOBODY)] },
      `${REFUSED}allow policies exist, but none allowed`
    ],
    ["a policy that is not there", { missing: ["shop/late"] }, "allowed"],
    [
      "a policy that is not there, beside an ALLOW",
      { missing: ["shop/late"], allow: [allow("no", NOBODY)] },
      `${REFUSED}allow policies exist, but none allowed`
    ]
  ]

  it.each(cases)("%s", (_, policies, expected) => {
    const verdict = judge({ ...NONE, ...policies }, guarded, from("a/x"))
    const reason = rejection(verdict)
    const by = verdict.by === undefined ? "" : ` by ${verdict.by.key}`
    assert.strictEqual(reason === undefined ? `allowed${by}` : textOf(reason), expected)
  })

  it("is told step by step", () => {
    const steps: Array<string> = []
    const policies = {
      missing: ["shop/late"],
      dryRunDeny: [deny("d1", EVERYBODY), deny("d2", NOBODY)],
      deny: [deny("d3", NOBODY)],
      dryRunAllow: [allow("a1", NOBODY), allow("a2", EVERYBODY)],
      allow: [allow("a3", NOBODY), allow("a4", EVERYBODY), allow("a5", EVERYBODY)]
    }
    judge(policies, guarded, from("a/x"), (step) => {
      if (step._tag === "PolicyMissing") steps.push(`missing ${step.key}`)
      if (step._tag === "PolicyChecked") steps.push(`${step.policy.name} ${step.matched}`)
      if (step._tag === "Judged") steps.push(`${step.allowed} ${step.because} ${step.by?.name} ${step.identity}`)
    })
    assert.deepStrictEqual(steps, [
      "missing shop/late",
      "d1 true",
      "d2 false",
      "d3 false",
      "a1 false",
      "a2 true",
      "a3 false",
      "a4 true",
      "true AllowedBy a4 spiffe://cluster.local/ns/a/sa/x"
    ])
  })

  it("asks policies on trial only when somebody listens", () => {
    let asked = 0
    const onTrial: Policy = {
      ...deny("trial", NOBODY),
      get rules() {
        asked += 1
        return NOBODY
      }
    }
    const policies = { ...NONE, dryRunDeny: [onTrial], dryRunAllow: [onTrial] }
    judge(policies, guarded, from("a/x"))
    assert.strictEqual(asked, 0)
    judge(policies, guarded, from("a/x"), () => {})
    assert.strictEqual(asked, 2)
  })
})

describe("the decision log", () => {
  const onTrial = (of: Policy): Policy => ({ ...of, dryRun: true })
  const cases: ReadonlyArray<[Partial<Policies>, ReadonlyArray<string>]> = [
    [{}, ["no allow policies, allow"]],
    [{ deny: [deny("a", NOBODY), deny("b", EVERYBODY)] }, ["deny policy match shop/b"]],
    [{ allow: [allow("a", EVERYBODY)] }, ["allow policy match shop/a"]],
    [{ allow: [allow("a", NOBODY)] }, ["no allow policies matched"]],
    [{ missing: ["shop/late"] }, ["no allow policies, allow"]],
    [
      { dryRunDeny: [onTrial(deny("a", EVERYBODY)), onTrial(deny("b", NOBODY)), onTrial(deny("c", EVERYBODY))] },
      ["dry-run: deny policy match shop/a", "dry-run: deny policy match shop/c", "no allow policies, allow"]
    ],
    [
      { dryRunAllow: [onTrial(allow("a", NOBODY)), onTrial(allow("b", EVERYBODY))] },
      ["dry-run: allow policy match shop/b", "no allow policies, allow"]
    ],
    [{ dryRunAllow: [onTrial(allow("a", NOBODY))] }, ["dry-run: no allow policies match", "no allow policies, allow"]],
    [{ dryRunAllow: [onTrial(allow("a", NOBODY))], allow: [allow("b", EVERYBODY)] }, ["allow policy match shop/b"]],
    [{ dryRunAllow: [onTrial(allow("a", NOBODY))], allow: [allow("b", NOBODY)] }, ["no allow policies matched"]],
    [{ dryRunAllow: [onTrial(allow("a", NOBODY))], deny: [deny("b", EVERYBODY)] }, ["deny policy match shop/b"]]
  ]
  const named = cases.map(([policies, expected]) => [expected.join(", "), policies, expected] as const)
  it.each(named)("%s", (_, policies, expected) => {
    assert.deepStrictEqual(verdictAndLog({ ...NONE, ...policies }, from("a/x")).log, expected)
  })

  it("says nothing of other steps, nor of policies that do not match", () => {
    assert.deepStrictEqual(rbacLines(Step.PolicyMissing({ workload: guarded, key: "shop/late" })), [])
    assert.deepStrictEqual(rbacLines(Step.PolicyChecked({ policy: deny("a", NOBODY), matched: false })), [])
  })
})

describe("what is not understood", () => {
  const UNREAD = { any: [], none: [], notUnderstood: true }
  const cases: ReadonlyArray<[string, Match]> = [
    ["a condition", { namespaces: UNREAD }],
    ["a condition with another that holds", { namespaces: UNREAD, destinationPorts: any(80) }],
    ["among positive matchers that do not match", { namespaces: { ...any(exact("b")), notUnderstood: true } }],
    ["among positive matchers that match", { namespaces: { ...any(exact("a")), notUnderstood: true } }],
    ["among negated matchers that do not match", { sourceIps: { ...none(range("10.1.0.0/16")), notUnderstood: true } }],
    ["among negated matchers that match", { sourceIps: { ...none(range("10.0.0.0/16")), notUnderstood: true } }]
  ]
  it.each(cases)("%s: never allowed by it, always denied by it", (_, match) => {
    const rules = [[[match]]]
    assert.strictEqual(judge({ ...NONE, allow: [allow("p", rules)] }, guarded, from("a/x"))._tag, "Denied")
    assert.strictEqual(judge({ ...NONE, deny: [deny("p", rules)] }, guarded, from("a/x"))._tag, "Denied")
  })

  it("does not make a DENY match that does not hold for another reason", () => {
    const match = { namespaces: UNREAD, destinationPorts: any(81) }
    assert.strictEqual(judge({ ...NONE, deny: [deny("p", [[[match]]])] }, guarded, from("a/x"))._tag, "Allowed")
  })

  it("is no obstacle to another match of an ALLOW", () => {
    const clause = [{ namespaces: UNREAD }, { destinationPorts: any(80) }]
    assert.strictEqual(judge({ ...NONE, allow: [allow("p", [[clause]])] }, guarded, from("a/x"))._tag, "Allowed")
  })
})

describe("for any policies and connections", () => {
  const isAllowed = (policies: ReadonlyArray<Policy>, connection: JudgedConnection) =>
    judge(policiesOf(policies), guarded, connection)._tag === "Allowed"

  it.prop(
    "the verdict and its log are the simple evaluator's",
    [policiesIn("a"), policiesIn("b"), connection],
    ([own, others, connection]) => judgesAsTheSimpleOne([...own, ...others], connection),
    RUNS
  )

  it.prop(
    "a negated matcher never agrees with its positive",
    [simpleMatch, connection],
    ([match, connection]) => {
      const negated = Object.fromEntries(
        Object.entries(match).map(([kind, { any }]) => [kind, { any: [], none: any, notUnderstood: false }])
      )
      assert.notStrictEqual(holds(match, connection), holds(negated, connection))
    },
    { arbitrary: { runs: 1_000 } }
  )

  it.prop(
    "another DENY never allows more",
    [policiesIn("a"), policyNamed("a", "p9"), connection],
    ([policies, another, connection]) => {
      const more = [...policies, { ...another, action: "Deny" as const, dryRun: false }]
      if (isAllowed(more, connection)) assert.isTrue(isAllowed(policies, connection))
    },
    RUNS
  )

  it.prop(
    "another namespace's policy changes nothing",
    [policiesIn("a"), policyNamed("c", "p9"), connection],
    ([policies, { scope, ...another }, connection]) => {
      const unrelated: Policy = { ...another, scope: scope === "Global" ? "Namespace" : scope }
      const applying = policiesOf(policies)
      assert.deepStrictEqual(
        verdictAndLog(policiesOf([...policies, unrelated]), connection),
        verdictAndLog(applying, connection)
      )
    },
    RUNS
  )

  it.prop(
    "a condition that becomes unreadable never allows more",
    [policiesIn("a"), integer(0, 999), connection],
    ([policies, which, connection]) => {
      const before = isAllowed(policies, connection)
      if (isAllowed(withOneUnread(policies, which), connection)) assert.isTrue(before)
    },
    { arbitrary: { runs: 600 } }
  )

  it.prop(
    "a match's conditions that all become unreadable: everybody is denied, nobody allowed",
    [Arbitrary.filter(match, (match) => Object.keys(match).length > 0), oneOf(["Allow", "Deny"] as const), connection],
    ([match, action, connection]) => {
      const unread = Object.fromEntries(
        Object.entries(match).map(([kind, each]) => [kind, { ...each, notUnderstood: true }])
      )
      const only = policy("p", { namespace: "a", action, rules: [[[unread]]] })
      assert.isFalse(isAllowed([only], connection))
    },
    RUNS
  )
})

/** One of all the conditions of all the policies, by number. */
const withOneUnread = (policies: ReadonlyArray<Policy>, which: number): ReadonlyArray<Policy> => {
  const count = policies
    .flatMap(({ rules }) => rules.flat(2))
    .reduce((sum, match) => sum + Object.keys(match).length, 0)
  let left = count === 0 ? -1 : which % count
  const unread = (match: Match): Match =>
    Object.fromEntries(
      Object.entries(match).map(([kind, each]) => [kind, left-- === 0 ? { ...each, notUnderstood: true } : each])
    )
  return policies.map((each) => ({
    ...each,
    rules: each.rules.map((rule) => rule.map((clause) => clause.map(unread)))
  }))
}
