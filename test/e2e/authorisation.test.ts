/** The inbound side under a policy, as its clients and its operator see it: 200 or 401, and what the log says of it. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { accessLineFrom } from "../support/accessLines.ts"
import { eventually } from "../support/eventually.ts"
import { ask, hboneClient } from "../support/hbonePeers.ts"
import { meshFile, policy, workload } from "../support/meshes.ts"
import { caFiles, CLIENT_IDENTITY, meshAddresses, startServerSide } from "../support/meshPair.ts"
import { tcpServer } from "../support/tcpPeers.ts"
import type { TestCa } from "../support/TestCa.ts"
import type { Weft } from "../support/WeftProcess.ts"

const STRANGER = "spiffe://cluster.local/ns/shop/sa/stranger"

interface Given {
  readonly ca: TestCa
  readonly ip: string
  readonly server: Weft
}

/** The server's weft, which lets in `shop/cart` only. */
class Story extends Context.Service<Story, Given>()("weft/test/e2e/authorisation/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const principals = {
        any: [{ _tag: "Exact", value: CLIENT_IDENTITY.replace("spiffe://", "") }],
        none: [],
        notUnderstood: false
      } as const
      const shelf = { uid: "Kubernetes//Pod/books/shelf-1", namespace: "books", serviceAccount: "shelf" }
      const mesh = meshFile({
        workloads: [workload("shelf-1", [addresses.server], shelf)],
        services: [],
        policies: [policy("cart-only", { namespace: "books", rules: [[[{ principals }]]] })]
      })
      const server = yield* startServerSide(addresses, mesh, { ...env, AUTHZ_POLICY_INFO_LOGGING: "true" })
      return { ca, ip: addresses.server, server }
    })
  )
}

/** A CONNECT of that identity to an application of the server's workload. */
const connectAs = Effect.fnUntraced(function* (identity: string) {
  const { ca, ip, server } = yield* Story
  const application = yield* tcpServer(ip, (socket) => void socket.pipe(socket))
  const leaf = yield* Effect.promise(() => ca.leaf({ uris: [identity] }))
  const session = yield* hboneClient(server.ports.inbound, ca, leaf)
  const authority = `${ip}:${application.port}`
  const complete = accessLineFrom(server, { "dst.hbone_addr": authority })
  const answer = yield* Effect.promise(() => ask(session, { ":method": "CONNECT", ":authority": authority }))
  return { ...answer, authority, complete }
})

const policyLine = (server: Weft, text: string) =>
  Effect.promise(() =>
    eventually(() => server.lines.find((line) => line.includes(`\tinfo\tstate\t${text}`)), `a line of state: ${text}`)
  )

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("a workload with an ALLOW policy", (it) => {
  it.effect("is reached by whom it names", () =>
    Effect.gen(function* () {
      const { server } = yield* Story
      const { complete, headers, stream } = yield* connectAs(CLIENT_IDENTITY)
      assert.strictEqual(headers[":status"], 200)
      stream.end("hello")
      let text = ""
      yield* Effect.promise(async () => {
        for await (const chunk of stream) text += String(chunk)
        assert.strictEqual(text, "hello")
        const { fields, level } = await complete()
        assert.strictEqual(level, "info")
        assert.notProperty(fields, "error")
      })
      assert.match(
        yield* policyLine(server, "allow policy match"),
        /policy="books\/cart-only" src\.addr=\S+ dst\.addr=\S+/
      )
    })
  )

  it.effect("answers 401 to anyone else, and the log says why", () =>
    Effect.gen(function* () {
      const { server } = yield* Story
      const { complete, headers } = yield* connectAs(STRANGER)
      assert.strictEqual(headers[":status"], 401)
      const { fields, level, message } = yield* Effect.promise(complete)
      assert.deepStrictEqual([level, message], ["error", "connection complete"])
      assert.deepInclude(fields, {
        "src.identity": STRANGER,
        "dst.workload": "shelf-1",
        error: "connection closed due to policy rejection: allow policies exist, but none allowed"
      })
      yield* policyLine(server, "no allow policies matched")
    })
  )
})
