import { readFileSync } from "node:fs"
import { assert, describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { explanationJson } from "../../../src/domain/decide/ExplainJson.ts"
import { findSource } from "../../../src/domain/decide/ExplainSource.ts"
import { explanationText, isCarried } from "../../../src/domain/decide/ExplainText.ts"
import type { Outcome } from "../../../src/domain/decide/Explanation.ts"
import { formatSocketAddress } from "../../../src/domain/Address.ts"
import { parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"
import { explained } from "../../support/explained.ts"
import { workload } from "../../support/meshes.ts"

const EXAMPLE = "examples/explain.yaml"
const RARE = "test/domain/decide/explain/mesh.yaml"
const example = explained(EXAMPLE)
const rare = explained(RARE)

/** Each answer stands in a file of its name; `vitest -u` writes them anew, for you to read. */
describe("an explanation reads", () => {
  it.each<[file: string, outcome: Outcome, from: string, to: string]>([
    ["allowed", "ALLOWED", "shop/web-0", "pay.shop.svc.cluster.local:443"],
    ["denied-none-allows", "DENIED", "shop/batch-0", "pay:443"],
    ["denied-by-policy", "DENIED", "shop/batch-0", "reports:80"],
    ["no-healthy-endpoint", "NO ROUTE", "shop/web-0", "stock:80"],
    ["via-waypoint", "FORWARDED", "shop/web-0", "reviews:80"],
    ["from-waypoint", "ALLOWED", "shop/waypoint-0", "10.96.0.30:80"],
    ["via-gateway", "FORWARDED", "shop/web-0", "books.books:80"],
    ["passthrough", "PASSTHROUGH", "shop/web-0", "203.0.113.7:443"],
    ["missing-port", "NO ROUTE", "shop/web-0", "pay:80"],
    ["pod-address", "ALLOWED", "shop/web-0", "10.9.0.50:8080"],
    ["own-port", "NO ROUTE", "shop/web-0", "10.9.0.6:15001"]
  ])("%s", async (file, outcome, from, to) => {
    const told = example(from, to)
    assert.strictEqual(told.outcome, outcome)
    await expect(`${explanationText(told)}\n`).toMatchFileSnapshot(`explain/${file}.txt`)
  })

  it.each<[file: string, outcome: Outcome, from: string, to: string]>([
    ["hidden-service", "PASSTHROUGH", "shop/web-0", "10.96.1.1:80"],
    ["hidden-hostname", "PASSTHROUGH", "shop/web-0", "ledger.bank:80"],
    ["policy-missing-and-dry-run", "ALLOWED", "shop/web-0", "10.9.1.2:80"],
    ["plaintext-with-policies", "ALLOWED", "shop/web-0", "10.9.1.3:6379"],
    ["plaintext", "ALLOWED", "shop/web-0", "10.9.1.4:25"],
    ["by-dns", "ALLOWED", "shop/web-0", "db:5432"],
    ["headless", "ALLOWED", "shop/web-0", "queue:5673"],
    ["dangling-waypoint", "NO ROUTE", "shop/web-0", "10.9.1.7:80"],
    ["waypoint-behind-node-proxy", "FORWARDED", "shop/web-0", "10.9.1.9:80"],
    ["gateway-without-identities", "NO ROUTE", "shop/web-0", "far:80"],
    ["no-gateway", "NO ROUTE", "shop/web-0", "alone:80"],
    ["why-rules-do-not-match", "DENIED", "shop/web-0", "10.9.1.11:8080"],
    ["native-tunnel", "FORWARDED", "shop/web-0", "10.9.1.14:80"],
    ["no-endpoints", "NO ROUTE", "shop/web-0", "empty:80"],
    ["not-local-enough", "NO ROUTE", "shop/web-0", "strict:80"],
    ["no-capacity", "NO ROUTE", "shop/web-0", "idle:80"],
    ["passthrough-mode", "PASSTHROUGH", "shop/web-0", "as-is:80"],
    ["name-without-address", "NO ROUTE", "shop/web-0", "ghost:80"],
    ["name-on-another-network", "NO ROUTE", "shop/web-0", "west-only:80"],
    ["unknown-name", "PASSTHROUGH", "shop/web-0", "example.org:443"],
    ["external-name", "PASSTHROUGH", "shop/web-0", "nowhere.example.com:443"],
    ["source-without-hbone", "ALLOWED", "shop/old-0", "10.9.1.2:80"]
  ])("%s", async (file, outcome, from, to) => {
    const told = rare(from, to)
    assert.strictEqual(told.outcome, outcome)
    await expect(`${explanationText(told)}\n`).toMatchFileSnapshot(`explain/${file}.txt`)
  })

  it("with another network of the proxy", async () => {
    const text = explanationText(example("shop/web-0", "10.96.0.20:80", "east"))
    await expect(`${text}\n`).toMatchFileSnapshot("explain/other-network.txt")
  })

  it("as JSON", async () => {
    const json = JSON.stringify(explanationJson(example("shop/batch-0", "pay:443")), undefined, 2)
    await expect(`${json}\n`).toMatchFileSnapshot("explain/denied-none-allows-json.txt")
  })
})

describe("every question", () => {
  const questions = [EXAMPLE, RARE].flatMap((path) => {
    const ask = explained(path)
    const { services, workloads } = Result.getOrThrow(parseMeshFile(readFileSync(path, "utf8"), path))
    const targets = [
      ...services.flatMap(({ hostname, ports, vips }) =>
        [...ports.keys(), 9].flatMap((port) => [`${hostname}:${port}`, ...vips.map(({ ip }) => `${ip}:${port}`)])
      ),
      ...workloads.flatMap(({ ips }) => ips.map((ip) => formatSocketAddress({ ip, port: 8080 }))),
      "192.0.2.1:1",
      "[2001:db8::1]:1",
      "example.org:1"
    ]
    return workloads.flatMap(({ network, uid }) =>
      targets.flatMap((to) =>
        [network, "elsewhere"].map((on) => ({ ask: () => ask(uid, to, on), what: `${uid} → ${to} on ${on}` }))
      )
    )
  })

  it("is answered in words, without a word of the code", () => {
    assert.isAbove(questions.length, 1000)
    for (const { ask, what } of questions) {
      const text = explanationText(ask())
      assert.notMatch(text, /undefined|null|_tag|\[object|NaN|\b0\.0\.0\.\d|:0\b|  \S.*  /m, what)
      assert.match(text, /^(ALLOWED|DENIED|NO ROUTE|PASSTHROUGH|FORWARDED)  \S+ → \S+/, what)
    }
  })

  it("says what to change when it is not carried, and never that there is something when it is allowed without doubt", () => {
    for (const { ask, what } of questions) {
      const { advice, outcome } = ask()
      if (!isCarried(outcome)) assert.isNotEmpty(advice, what)
      for (const sentence of advice) assert.match(sentence, /^\S.*\.$/, what)
    }
  })

  it("is JSON that holds the same outcome and survives being read", () => {
    for (const { ask, what } of questions) {
      const told = ask()
      const json = explanationJson(told)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(json)), json, what)
      assert.strictEqual(json["outcome"], told.outcome)
      assert.hasAllKeys(json, ["from", "to", "outcome", "advice", "error", "route", "destination", "steps"])
    }
  })
})

describe("the source", () => {
  const named = (name: string, rest = {}) => workload(name, [], rest)
  const message = (workloads: Parameters<typeof findSource>[0], given: string) => {
    const found = findSource(workloads, given)
    return Result.isFailure(found) ? found.failure.message : `found ${found.success.uid}`
  }

  it.each([
    ["by name", "shop/cart-1", "found Kubernetes//Pod/shop/cart-1"],
    ["by uid", "Kubernetes//Pod/shop/cart-2", "found Kubernetes//Pod/shop/cart-2"],
    [
      "by its deployment: which pod?",
      "shop/cart",
      'the mesh has no workload "shop/cart"; did you mean shop/cart-1, shop/cart-2, shop/web-0 or books/web-0?'
    ],
    [
      "misspelt",
      "shop/wbe-0",
      'the mesh has no workload "shop/wbe-0"; did you mean shop/web-0, shop/cart-1, shop/cart-2 or books/web-0?'
    ],
    [
      "without a namespace",
      "web-0",
      'the mesh has no workload "web-0"; did you mean books/web-0, shop/web-0, shop/cart-1 or shop/cart-2?'
    ]
  ])("%s", (_, given, expected) => {
    const workloads = [
      named("cart-1", { workloadName: "cart" }),
      named("cart-2", { workloadName: "cart" }),
      named("web-0", { namespace: "books", uid: "b" }),
      named("web-0")
    ]
    assert.strictEqual(message(workloads, given), expected)
  })

  it("has to be one of several of the same name", () => {
    const twice = [named("a", { uid: "east/a" }), named("a", { uid: "west/a" })]
    assert.strictEqual(
      message(twice, "shop/a"),
      "2 workloads are called shop/a: say which one by its uid: east/a or west/a"
    )
    assert.strictEqual(message(twice, "west/a"), "found west/a")
  })

  it("is asked for in an empty mesh", () => {
    assert.strictEqual(message([], "shop/a"), 'the mesh has no workload "shop/a"; it has no workloads at all')
  })
})
