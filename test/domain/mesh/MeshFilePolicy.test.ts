import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"
import type { Match } from "../../../src/domain/mesh/Policy.ts"
import { policy } from "../../support/meshes.ts"

const parse = (text: string) => Result.getOrThrow(parseMeshFile(text, "mesh.yaml"))

/** `line:column path: problem` of each issue. */
const issues = (text: string): ReadonlyArray<string> => {
  const parsed = parseMeshFile(text, "mesh.yaml")
  if (Result.isSuccess(parsed)) return []
  return parsed.failure.issues.map(({ column, line, path, problem }) => `${line}:${column} ${path}: ${problem}`)
}

const HEAD = "policies:\n- {name: p, namespace: shop, scope: Namespace, action: Allow, dryRun: false, rules: "

/** A file with one match on its third line. */
const withMatch = (match: string) => `${HEAD}[[[\n  ${match}]]]}`

const matchOf = (match: string): Match | undefined => parse(withMatch(match)).policies[0]?.rules[0]?.[0]?.[0]

const condition = <M>(any: ReadonlyArray<M>, none: ReadonlyArray<M> = []) => ({ any, none, notUnderstood: false })

describe("a policy of a mesh file", () => {
  it("is read with its key; what is empty stays empty", () => {
    const { policies } = parse(`policies:
- {name: p, namespace: shop, scope: Namespace, action: Allow, dryRun: false, rules: []}
- {name: q, namespace: istio, scope: Global, action: Deny, dryRun: true, rules: [[], [[], [{}]]]}`)
    assert.deepStrictEqual(policies, [
      policy("p"),
      policy("q", { namespace: "istio", scope: "Global", action: "Deny", dryRun: true, rules: [[], [[], [{}]]] })
    ])
  })

  it("has matchers with tags, or as the maps that JSON can write", () => {
    const expected = [
      { _tag: "Exact", value: "a" },
      { _tag: "Prefix", value: "12" },
      { _tag: "Suffix", value: "" },
      { _tag: "Presence" }
    ] as const
    const tags = matchOf('{namespaces: [!Exact a, !Prefix 12, !Suffix "", !Presence []]}')
    assert.deepStrictEqual<unknown>(tags, { namespaces: condition(expected) })
    const maps = matchOf('{"namespaces": [{"Exact": "a"}, {"Prefix": "12"}, {"Suffix": ""}, {"Presence": []}]}')
    assert.deepStrictEqual(maps, tags)
    assert.deepStrictEqual<unknown>(matchOf("{principals: [&a !Exact a, *a]}"), {
      principals: condition([expected[0], expected[0]])
    })
  })

  it("has every kind of condition, and its negation", () => {
    const exact = (value: string) => ({ _tag: "Exact", value })
    const account = (serviceAccount: string) => ({ namespace: "shop", serviceAccount })
    assert.deepStrictEqual<unknown>(
      matchOf(`{
        namespaces: [!Exact a], notNamespaces: [!Exact b], principals: [!Exact c], notPrincipals: [!Exact d],
        serviceAccounts: [{namespace: shop, serviceAccount: e}], notServiceAccounts: [{namespace: shop, serviceAccount: f}],
        sourceIps: [10.1.2.3/8], notSourceIps: ["2001:db8::/32"], destinationIps: [0.0.0.0/0], notDestinationIps: [10.0.0.1/32],
        destinationPorts: [80, 65535], notDestinationPorts: [0]}`),
      {
        namespaces: condition([exact("a")], [exact("b")]),
        principals: condition([exact("c")], [exact("d")]),
        serviceAccounts: condition([account("e")], [account("f")]),
        sourceIps: condition([parseCidr("10.0.0.0/8")], [parseCidr("2001:db8::/32")]),
        destinationIps: condition([parseCidr("0.0.0.0/0")], [parseCidr("10.0.0.1/32")]),
        destinationPorts: condition([80, 65535], [0])
      }
    )
    assert.deepStrictEqual(matchOf("{namespaces: [], notDestinationPorts: []}"), {})
  })

  const MATCHERS = "!Exact text, !Prefix text, !Suffix text or !Presence [] is accepted"
  it.each<readonly [string, string]>([
    ["{port: [80]}", `3:4 ${path("port")}: unknown key; accepted here: ${MATCH_KEYS()}`],
    ["{namespaces: [shop]}", `3:17 ${path("namespaces[0]")}: "shop" was given; ${MATCHERS}`],
    [
      "{namespaces: !Exact shop}",
      `3:23 ${path("namespaces")}: a value with the tag !Exact was given; a list is accepted`
    ],
    ["{namespaces: [!Exact ]}", `3:24 ${path("namespaces[0]")}: a value with the tag !Exact was given; ${MATCHERS}`],
    ["{namespaces: [!Regex a]}", "3:17 : Unresolved tag: !Regex"],
    ["{namespaces: [!Exact [a]]}", "3:17 : Unresolved tag: !Exact"],
    ["{namespaces: [!Presence x]}", presence("3:27", "namespaces[0]")],
    ["{namespaces: [!Presence [x]]}", presence("3:27", "namespaces[0]")],
    ["{namespaces: [{}]}", `3:17 ${path("namespaces[0]")}: a matcher has exactly one key`],
    ["{namespaces: [{Exact: a, Prefix: b}]}", `3:17 ${path("namespaces[0]")}: a matcher has exactly one key`],
    [
      "{namespaces: [{exact: a}]}",
      `3:18 ${path("namespaces[0].exact")}: unknown key; accepted here: Exact, Prefix, Suffix, Presence`
    ],
    [
      "{serviceAccounts: [{namespace: a}]}",
      `3:22 ${path("serviceAccounts[0].serviceAccount")}: nothing was given; a string is accepted`
    ],
    [
      "{sourceIps: [10.0.0.1]}",
      `3:16 ${path("sourceIps[0]")}: "10.0.0.1" was given; an address range such as 10.0.0.0/8 is accepted`
    ],
    [
      "{destinationPorts: [65536]}",
      `3:23 ${path("destinationPorts[0]")}: 65536 was given; a whole number from 0 to 65535 is accepted`
    ],
    [
      "{notPrincipals: [!Prefix spiffe://td/ns/a]}",
      `3:28 ${path("notPrincipals[0]")}: principals are written without spiffe://, as td/ns/a`
    ]
  ])("is refused for %s", (match, issue) => assert.deepStrictEqual(issues(withMatch(match)), [issue]))

  it("is refused for what is missing, and for being there twice", () => {
    assert.deepStrictEqual(issues("policies:\n- {name: p, namespace: shop, action: AUDIT, rules: []}"), [
      "2:3 policies[0].scope: nothing was given; Global or Namespace or WorkloadSelector is accepted",
      "2:3 policies[0].dryRun: nothing was given; true or false is accepted",
      '2:38 policies[0].action: "AUDIT" was given; Allow or Deny is accepted'
    ])
    const one = "{name: p, namespace: shop, scope: Namespace, action: Allow, dryRun: false, rules: []}"
    assert.deepStrictEqual(issues(`policies:\n- ${one}\n- ${one}`), [
      '3:3 policies[1]: policies[0] has the same namespace and name: "shop/p"'
    ])
  })

  it("is named by workloads by its key, there or not", () => {
    const workload = (key: string) =>
      `workloads: [{uid: a, namespace: x, workloadIps: [], services: {}, authorizationPolicies: [${key}]}]`
    assert.deepStrictEqual(parse(workload("shop/p")).workloads[0]?.authorizationPolicies, ["shop/p"])
    assert.deepStrictEqual(issues(workload("p")), [
      '1:91 workloads[0].authorizationPolicies[0]: "p" was given; <namespace>/<name> is accepted'
    ])
  })

  it("is where matchers are, and nowhere else", () => {
    assert.deepStrictEqual(
      issues("workloads: [{uid: a, namespace: !Prefix shop, workloadIps: !Presence [], services: {}}]"),
      [
        "1:41 workloads[0].namespace: a value with the tag !Prefix was given; a string is accepted",
        "1:70 workloads[0].workloadIps: a value with the tag !Presence was given; a list is accepted"
      ]
    )
  })
})

function path(below: string) {
  return `policies[0].rules[0][0][0].${below}`
}

function presence(place: string, below: string) {
  return `${place} ${path(below)}: a value with the tag !Presence was given; an empty list is accepted`
}

function MATCH_KEYS() {
  const kinds = ["namespaces", "principals", "serviceAccounts", "sourceIps", "destinationIps", "destinationPorts"]
  return kinds.flatMap((kind) => [kind, `not${kind[0]?.toUpperCase()}${kind.slice(1)}`]).join(", ")
}
