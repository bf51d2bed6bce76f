/** A plain connection to our workload: nobody has proven who it is. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { duplexPair } from "node:stream"
import { ipUnsafe, type SocketAddress } from "../../src/domain/Address.ts"
import type { Condition, Policy, StringMatcher } from "../../src/domain/mesh/Policy.ts"
import { StreamConduit } from "../../src/layers/os/StreamConduit.ts"
import { inboundShard, localWorkload, PEER, policyOf, settledMesh } from "../support/inboundShard.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { tcpServer } from "../support/tcpPeers.ts"

const anyPrincipal: Condition<StringMatcher> = { any: [{ _tag: "Presence" }], none: [], notUnderstood: false }
const rules: Policy["rules"] = [[[{ principals: anyPrincipal }]]]
const meshOf = (ip: string, policies: ReadonlyArray<Policy>) =>
  settledMesh({ workloads: [localWorkload(ip)], services: [], policies })
const plain = () => {
  const [near, client] = duplexPair()
  const conduit = new StreamConduit(near, {
    reset: (duplex) => duplex.destroy(),
    endedInOrder: () => true,
    goneBy: () => ({ _tag: "Closed" }),
    highWaterMark: 65_536
  })
  return { client, conduit }
}

describe("a plain connection", () => {
  it.effect("is turned away by a policy that asks for any principal, and says so as HBONE does", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const dialled: Array<SocketAddress> = []
      const shard = yield* inboundShard({ ip, onDial: (to) => dialled.push(to) })
      shard.setMesh(meshOf(ip, [policyOf("strict", "Allow", { rules })]))
      const target = { ip: ipUnsafe(ip), port: 80 }
      const error = yield* Effect.flip(Effect.scoped(shard.passthrough(plain().conduit, PEER, target)))
      assert.strictEqual(error.reason._tag, "PolicyRejected")
      assert.deepStrictEqual(dialled, [])
      assert.deepStrictEqual(shard.counts("connectionsOpened", "connectionsClosed", "connectionsFailed"), [1, 1, 1])
      const [line] = shard.lines
      assert.deepStrictEqual([shard.lines.length, line?.level], [1, "error"])
      const fields = new Map(line?.fields)
      const text = "connection closed due to policy rejection: allow policies exist, but none allowed"
      assert.strictEqual(fields.get("error"), text)
      assert.deepStrictEqual(fields.get("dst.addr"), { bare: `${ip}:80` })
      assert.isFalse(fields.has("src.identity"))
    })
  )

  it.live("that only addresses are asked of goes to where it wanted to go", () =>
    Effect.gen(function* () {
      const ip = loopbackAddress()
      const app = yield* tcpServer(ip)
      const shard = yield* inboundShard({ ip })
      const ports = { any: [app.port], none: [], notUnderstood: false }
      shard.setMesh(meshOf(ip, [policyOf("port", "Allow", { rules: [[[{ destinationPorts: ports }]]] })]))
      const { client, conduit } = plain()
      const target = { ip: ipUnsafe(ip), port: app.port }
      const fiber = yield* Effect.forkChild(Effect.scoped(shard.passthrough(conduit, PEER, target)))
      client.end("hello")
      const peer = yield* Effect.promise(app.accept)
      assert.strictEqual(String(yield* Effect.promise(() => peer.ended)), "hello")
      peer.socket.end()
      client.resume()
      assert.strictEqual(yield* Fiber.join(fiber), "ended")
    })
  )
})
