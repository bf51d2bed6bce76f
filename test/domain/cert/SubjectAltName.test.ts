import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import { formatIdentity, type Spiffe } from "../../../src/domain/Identity.ts"
import { spiffeIdsOf, uriNamesOf, verifyClient, verifyServer } from "../../../src/domain/cert/SubjectAltName.ts"
import { anyText, bytes, integer, mutated, oneOf, textOf, THOROUGH } from "../../support/hostileInput.ts"
import { GENERAL_NAME, type GeneralName, subjectAltNameText } from "../../support/sanCertificate.ts"

const id = (text: string) => text as Spiffe // a brand for texts that are written out
const OURS = id("spiffe://cluster.local/ns/prod/sa/web")
const OTHER = id("spiffe://cluster.local/ns/prod/sa/db")
const FOREIGN = id("spiffe://evil.example/ns/prod/sa/web")

const uri = (text: string): GeneralName => ({ tag: GENERAL_NAME.uri, content: Buffer.from(text, "latin1") })
const dns = (text: string): GeneralName => ({ tag: GENERAL_NAME.dns, content: Buffer.from(text, "latin1") })

/** What an attacker would write to be taken for someone else, and plain octets. */
const hostileContent = Arbitrary.flatMap(oneOf(["octets", "injection", "mutated"]), (kind) => {
  if (kind === "octets") return bytes()
  const text =
    kind === "mutated"
      ? mutated(Arbitrary.Constant(`a, URI:${OURS}, DNS:"b", URI:"${OURS}"`))
      : Arbitrary.map(
          Arbitrary.array(oneOf(["a", ", ", ",", '"', "\\", "'", "\n", "\\u002c", "URI:", "DNS:", OURS, FOREIGN]), {
            maxLength: 8
          }),
          (parts) => parts.join("")
        )
  return Arbitrary.map(text, (text) => new Uint8Array(Buffer.from(text, "latin1")))
})
const hostileName: Arbitrary.Arbitrary<GeneralName> = Arbitrary.all({
  tag: oneOf(Object.values(GENERAL_NAME)),
  content: hostileContent
})

describe("uriNamesOf, with Node as the other side", () => {
  it.prop(
    "gives exactly the URI names of a certificate, octet by octet",
    [Arbitrary.array(hostileName, { maxLength: 5 })],
    ([names]) => {
      const uris = names
        .filter(({ tag }) => tag === GENERAL_NAME.uri)
        .map(({ content }) => Buffer.from(content).toString("latin1"))
      assert.deepStrictEqual(uriNamesOf(subjectAltNameText(names)), uris)
    },
    THOROUGH
  )

  it("is not led astray by a name that holds another", () => {
    const san = subjectAltNameText([dns(`x, URI:${OURS}`), uri(`${FOREIGN}, URI:${OURS}`), uri(`"${OURS}"`)])
    assert.deepStrictEqual(spiffeIdsOf(san), [])
    assert.isTrue(Result.isFailure(verifyServer(san, [OURS])))
    assert.isTrue(Result.isFailure(verifyClient(san, "cluster.local")))
  })

  it("tells an id from one with a zero octet, a line end or a letter beyond ASCII after it", () => {
    for (const tail of ["\0", "\n", "é", " "]) {
      assert.deepStrictEqual(spiffeIdsOf(subjectAltNameText([uri(`${OURS}${tail}`)])), [], JSON.stringify(tail))
    }
  })
})

describe("uriNamesOf", () => {
  it.prop("survives anything", [anyText], ([text]) => assert.doesNotThrow(() => uriNamesOf(`URI:${text}`)), THOROUGH)

  const text = Arbitrary.Constant(`DNS:a.b, URI:${OURS}, URI:"x\\u002c \\"y\\\\", IP Address:10.0.0.1`)
  it.prop("survives mutated text", [mutated(text)], ([text]) => assert.doesNotThrow(() => spiffeIdsOf(text)), THOROUGH)

  it("reads bare and quoted values", () => {
    assert.deepStrictEqual(uriNamesOf(`DNS:x, URI:${OURS}, URI:"a\\u002c \\"b\\\\"`), [OURS, 'a, "b\\'])
    assert.deepStrictEqual(uriNamesOf("URI:"), [""])
    assert.deepStrictEqual(uriNamesOf(undefined), [])
    assert.deepStrictEqual(uriNamesOf(""), [])
  })

  it("has no names at all for text that Node does not write", () => {
    for (const part of [
      "DNS:a,b",
      `DNS:"a`,
      'URI:"a"b',
      'URI:a"',
      "DNS:a'b",
      "nothing",
      'URI:"\\x"',
      "",
      " DNS:a",
      `URI:"a\\u00"`
    ]) {
      assert.deepStrictEqual(uriNamesOf(part === " DNS:a" ? `URI:${OURS},${part}, ` : `URI:${OURS}, ${part}`), [], part)
    }
  })
})

const part = textOf("abc019.-", { minLength: 1, maxLength: 6 })
const identity = Arbitrary.all({
  trustDomain: oneOf(["cluster.local", "evil.example", "td"]),
  namespace: part,
  serviceAccount: part
})

describe("verdicts", () => {
  it.prop(
    "the client side takes a peer just if one of its ids is accepted",
    [Arbitrary.array(identity, { maxLength: 4 }), Arbitrary.array(identity, { maxLength: 3 }), integer(0, 3)],
    ([presented, others, shared]) => {
      const accepted = [...others, ...presented.slice(0, shared)].map(formatIdentity)
      const san = presented.map((identity) => `URI:${formatIdentity(identity)}`).join(", ")
      const verdict = verifyServer(san, accepted)
      const expected = presented.map(formatIdentity).find((id) => accepted.includes(id))
      if (Result.isSuccess(verdict)) assert.strictEqual(verdict.success, expected)
      else assert.isUndefined(expected)
    }
  )

  it.prop(
    "the server side takes a peer just if one of its ids is of our trust domain",
    [Arbitrary.array(identity, { maxLength: 4 })],
    ([presented]) => {
      const san = presented.map((identity) => `URI:${formatIdentity(identity)}`).join(", ")
      const verdict = verifyClient(san, "cluster.local")
      const expected = presented.find(({ trustDomain }) => trustDomain === "cluster.local")
      if (Result.isSuccess(verdict)) assert.strictEqual(verdict.success, expected && formatIdentity(expected))
      else assert.isUndefined(expected)
    }
  )

  it("the principal is an id of our trust domain, though a foreign one comes first", () => {
    assert.strictEqual(
      Result.getOrThrow(verifyClient(`URI:${FOREIGN}, URI:${OTHER}, URI:${OURS}`, "cluster.local")),
      OTHER
    )
  })

  it("no name, no id and no accepted identity fail", () => {
    for (const san of [undefined, "", "DNS:cluster.local", "URI:https://cluster.local/ns/prod/sa/web"]) {
      assert.isTrue(Result.isFailure(verifyClient(san, "cluster.local")))
      assert.isTrue(Result.isFailure(verifyServer(san, [OURS])))
    }
    assert.isTrue(Result.isFailure(verifyServer(`URI:${OURS}`, [])))
  })

  it("a mismatch names what was expected and what was presented", () => {
    const server = verifyServer(`URI:${FOREIGN}`, [OURS, OTHER])
    assert.strictEqual(
      Result.isFailure(server) && server.failure.message,
      `expected ${OURS} or ${OTHER}, but the peer's certificate presents "${FOREIGN}"`
    )
    const client = verifyClient("DNS:x", "cluster.local")
    assert.strictEqual(
      Result.isFailure(client) && client.failure.message,
      `expected a SPIFFE id of trust domain "cluster.local", but the peer's certificate presents no URI at all`
    )
  })
})
