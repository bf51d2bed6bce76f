/** Applications that know nothing of weft: their connections are redirected by the kernel, in network namespaces. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { accessLineFrom } from "../support/accessLines.ts"
import { isMissing, isRoot, run, start } from "../support/commands.ts"
import { eventually } from "../support/eventually.ts"
import { caFiles, CLIENT_IDENTITY, SERVER_IDENTITY, SERVICE } from "../support/meshPair.ts"
import { meshFile, service, workload } from "../support/meshes.ts"
import { MARK, POD_IPS, type Pods, pods, UNCAPTURED_PORT } from "../support/netns.ts"
import { NODE, startWeft, type Weft } from "../support/WeftProcess.ts"

interface Given extends Pods {
  readonly clientWeft: Weft
  readonly serverWeft: Weft
}

/** weft in both pods, on the ports that everyone knows, and a web server in the server's pod. */
class Story extends Context.Service<Story, Given>()("weft/test/e2e/redirect/Story") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const both = yield* pods
      const { env } = yield* caFiles
      const weft = (name: string, prefix: ReadonlyArray<string>) =>
        startWeft({ workload: name, mesh: MESH, prefix, env: { ...env, ...DEFAULT_PORTS, PACKET_MARK: MARK } })
      const [program = "", ...args] = both.inServer
      const ports = [WEB_PORT, UNCAPTURED_PORT].map(String)
      const web = yield* start(program, [...args, NODE, WEB_PROGRAM, "::", ...ports])
      yield* Effect.promise(() => eventually(() => web.stdout().includes("listening"), "the web server"))
      return {
        ...both,
        serverWeft: yield* weft("books/shelf-1/shelf", both.inServer),
        clientWeft: yield* weft("shop/cart-1/cart", both.inClient)
      }
    })
  )
}

const VIP = "10.96.0.50"
const WEB_PORT = 8080
const WEB_PROGRAM = new URL("../support/webProgram.ts", import.meta.url).pathname

const ports = new Map([[80, WEB_PORT]])
const MESH = meshFile({
  services: [service("shelf", [VIP], { namespace: "books", hostname: SERVICE, ports })],
  workloads: [
    workload("cart-1", POD_IPS.client, { serviceAccount: "cart" }),
    workload("shelf-1", POD_IPS.server, {
      uid: "Kubernetes//Pod/books/shelf-1",
      namespace: "books",
      serviceAccount: "shelf",
      services: new Map([[`books/${SERVICE}`, ports]])
    })
  ]
})

/** Empty counts as not set: all addresses, and ztunnel's ports. */
const DEFAULT_PORTS = {
  WEFT_BIND_ADDRESS: "",
  WEFT_OUTBOUND_PORT: "",
  WEFT_INBOUND_PORT: "",
  WEFT_INBOUND_PLAINTEXT_PORT: "",
  WEFT_READINESS_PORT: "",
  ZTUNNEL_WORKER_THREADS: "1"
}

/** In the client's pod, through nothing that it knows of. */
const curl = Effect.fnUntraced(function* (url: string) {
  const { inClient } = yield* Story
  const [program = "", ...args] = inClient
  const { code, stderr, stdout } = yield* run(program, [...args, "curl", "-sS", "-m", "10", "--noproxy", "*", url])
  assert.strictEqual(code, 0, stderr)
  return stdout
})

const missing = ["ip", "iptables", "ip6tables", "curl"].filter(isMissing)
const cannot = !isRoot || missing.length > 0

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })(
  "a redirected connection (needs root, ip, iptables, curl)",
  (it) => {
    const test = it.effect.skipIf(cannot)
    const meshed: ReadonlyArray<readonly [string, string, string]> = [
      ["a VIP", `http://${VIP}/`, `${POD_IPS.server[0]}:${WEB_PORT}`],
      ["a pod's IPv4 address", `http://${POD_IPS.server[0]}:${WEB_PORT}/`, `${POD_IPS.server[0]}:${WEB_PORT}`],
      ["a pod's IPv6 address", `http://[${POD_IPS.server[1]}]:${WEB_PORT}/`, `[${POD_IPS.server[1]}]:${WEB_PORT}`]
    ]
    for (const [what, url, authority] of meshed) {
      test(`to ${what} goes through the tunnel`, () =>
        Effect.gen(function* () {
          const { clientWeft, serverWeft } = yield* Story
          const lines = [
            accessLineFrom(clientWeft, { direction: "outbound" }),
            accessLineFrom(serverWeft, { direction: "inbound" })
          ]
          assert.include(yield* curl(url), `asked port ${WEB_PORT}`)
          for (const line of lines) {
            const { fields, level } = yield* Effect.promise(line)
            assert.strictEqual(level, "info")
            assert.deepInclude(fields, {
              "src.workload": "cart-1",
              "src.identity": CLIENT_IDENTITY,
              "dst.addr": authority.replace(/\d+$/, "15008"),
              "dst.hbone_addr": authority,
              "dst.identity": SERVER_IDENTITY
            })
          }
        }))
    }

    test("to what the mesh does not know passes through, and arrives at the other pod as plaintext", () =>
      Effect.gen(function* () {
        const { clientWeft, serverWeft } = yield* Story
        const destination = { "dst.addr": `${POD_IPS.outside}:${WEB_PORT}` }
        const outbound = accessLineFrom(clientWeft, { direction: "outbound", ...destination })
        const inbound = accessLineFrom(serverWeft, { direction: "inbound", ...destination })
        assert.include(yield* curl(`http://${POD_IPS.outside}:${WEB_PORT}/`), `asked port ${WEB_PORT}`)
        for (const line of [outbound, inbound]) {
          const { fields, level } = yield* Effect.promise(line)
          assert.strictEqual(level, "info")
          assert.strictEqual(fields["src.workload"], "cart-1")
          assert.notProperty(fields, "src.identity")
          assert.notProperty(fields, "dst.hbone_addr")
        }
      }))

    test("that arrives in plaintext from outside the mesh reaches the port it was meant for", () =>
      Effect.gen(function* () {
        const { clientWeft, serverWeft } = yield* Story
        const before = clientWeft.lines.length
        const address = POD_IPS.server[0]
        const inbound = accessLineFrom(serverWeft, { "dst.addr": `${address}:${UNCAPTURED_PORT}` })
        assert.include(yield* curl(`http://${address}:${UNCAPTURED_PORT}/`), `asked port ${UNCAPTURED_PORT}`)
        const { fields, level } = yield* Effect.promise(inbound)
        assert.strictEqual(level, "info")
        assert.deepInclude(fields, { direction: "inbound", "dst.workload": "shelf-1" })
        assert.notProperty(fields, "dst.identity")
        assert.strictEqual(clientWeft.lines.length, before)
      }))
  }
)
