/** Plain connections that the kernel redirects to weft, while policies about their addresses are edited. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import { parseCidr } from "../../src/domain/Cidr.ts"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { isMissing, isRoot, type Running, start } from "../support/commands.ts"
import { eventually } from "../support/eventually.ts"
import { caFiles } from "../support/meshPair.ts"
import { meshFile, policy, workload } from "../support/meshes.ts"
import { MARK, POD_IPS, pods, UNCAPTURED_PORT } from "../support/netns.ts"
import { NODE, startWeft } from "../support/WeftProcess.ts"

const PROGRAM = new URL("../support/tcpProgram.ts", import.meta.url).pathname
const UID = "Kubernetes//Pod/books/shelf-1"

const meshOf = (policies: ReadonlyArray<Policy>) =>
  meshFile({
    services: [],
    workloads: [
      workload("cart-1", POD_IPS.client, { serviceAccount: "cart" }),
      workload("shelf-1", POD_IPS.server, { uid: UID, namespace: "books", serviceAccount: "shelf" })
    ],
    policies
  })

const sourceIs = (cidr: string): Policy["rules"] => [
  [[{ sourceIps: { any: [parseCidr(cidr)!], none: [], notUnderstood: false } }]]
]

/** weft in the server's pod, in front of an application that echoes; the client's pod has none. */
const story = Effect.gen(function* () {
  const { inClient, inServer } = yield* pods
  const { env } = yield* caFiles
  const within = ([program = "", ...args]: ReadonlyArray<string>, mode: string, host: string) =>
    start(program, [...args, NODE, PROGRAM, mode, host, String(UNCAPTURED_PORT)])
  const echo = yield* within(inServer, "echo", "::")
  yield* Effect.promise(() => eventually(() => echo.stdout().includes("listening"), "the application"))
  const weft = yield* startWeft({
    workload: "books/shelf-1/shelf",
    mesh: meshOf([]),
    prefix: inServer,
    env: { ...env, ...DEFAULT_PORTS, PACKET_MARK: MARK }
  })
  return { weft, hold: (host: string) => within(inClient, "hold", host) }
})

const DEFAULT_PORTS = {
  WEFT_BIND_ADDRESS: "",
  WEFT_OUTBOUND_PORT: "",
  WEFT_INBOUND_PORT: "",
  WEFT_INBOUND_PLAINTEXT_PORT: "",
  WEFT_READINESS_PORT: "",
  ZTUNNEL_WORKER_THREADS: "1"
}

const says = ({ stdin, stdout }: Running, text: string) =>
  Effect.promise(() => {
    stdin.write(text)
    return eventually(() => stdout().includes(text), `an echo of ${text}`)
  })

const missing = ["ip", "iptables", "ip6tables"].filter(isMissing)

describe("a plain connection that is redirected (needs root, ip, iptables)", () => {
  it.live.skipIf(!isRoot || missing.length > 0)(
    "ends when a policy comes that denies its address, one of another address goes on, and the next is turned away",
    () =>
      Effect.gen(function* () {
        const { hold, weft } = yield* story
        const [v4, v6] = POD_IPS.client
        // in this order: it has been judged when the other one ends
        const allowed = yield* hold(POD_IPS.server[1])
        yield* says(allowed, "one")
        const denied = yield* hold(POD_IPS.server[0])
        yield* says(denied, "two")

        const destination = { "dst.addr": `${POD_IPS.server[0]}:${UNCAPTURED_PORT}` }
        const ended = accessLineFrom(weft, destination)
        const deny = policy("no-cart", { namespace: "books", action: "Deny", rules: sourceIs(`${v4}/32`) })
        Fs.writeFileSync(weft.meshPath, meshOf([deny]))
        yield* Effect.promise(() => eventually(() => denied.stderr() === "reset\n", "the end of the denied one"))
        const { fields, level } = yield* Effect.promise(ended)
        assert.strictEqual(level, "error")
        assert.deepInclude(fields, {
          direction: "inbound",
          "src.workload": "cart-1",
          error: "connection closed due to policy change"
        })
        const text = `(None)->${destination["dst.addr"]} (${UID}) closed because it's no longer allowed after a policy update`
        assert.isNotEmpty(weft.lines.filter((line) => line.includes(text)))
        yield* says(allowed, "three")
        assert.strictEqual(allowed.stderr(), "")

        const next = accessLineFrom(weft, destination)
        const refused = yield* hold(POD_IPS.server[0])
        yield* Effect.promise(() => eventually(() => refused.stderr() !== "", "the end of the next one"))
        assert.strictEqual(
          (yield* Effect.promise(next)).fields["error"],
          "connection closed due to policy rejection: explicitly denied by: books/no-cart"
        )

        Fs.writeFileSync(weft.meshPath, meshOf([{ ...deny, rules: [...deny.rules, ...sourceIs(`${v6}/128`)] }]))
        yield* Effect.promise(() => eventually(() => allowed.stderr() === "reset\n", "the end of the other one"))
      })
  )
})
