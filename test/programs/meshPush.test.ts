/** What the main thread's mesh becomes, every shard's becomes: also a shard's that is started later. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { batchesOf, type Changes } from "../support/batches.ts"
import { roundTrip } from "../support/Connecting.ts"
import { eventually } from "../support/eventually.ts"
import { behind, policy, service, workload } from "../support/meshes.ts"
import { closed, connectBySocks5, exchange, listenEcho } from "../support/rawTcp.ts"
import { SERVER_IP, startTestProxy } from "../support/TestProxy.ts"

const SHARDS = 2
/** An address that leads nowhere unless a mesh says so. */
const VIP = "127.199.0.1"

const proxy = Effect.gen(function* () {
  const { mesh, metrics, pool, socks5 } = yield* startTestProxy({ shards: SHARDS })
  const apply = (changes: Changes) => Effect.andThen(mesh.apply(batchesOf(changes)), pool.applied)
  const echo = yield* listenEcho(SERVER_IP)
  const web = service("web", [VIP], { ports: new Map([[80, echo.port]]) })
  const server = workload("server", [SERVER_IP], behind(web))
  const reached = Effect.promise(() =>
    roundTrip(socks5, { host: VIP, port: 80 }).then(
      () => true,
      () => false
    )
  )
  /** Often enough that each shard is asked. */
  const reachedByAll = Effect.map(Effect.all(Array.from({ length: 8 * SHARDS }, () => reached)), (all) =>
    all.every(Boolean)
  )
  return { apply, metrics, pool, socks5, web, server, echo, reached, reachedByAll }
})

describe("a push of the mesh", () => {
  it.live("reaches every shard, and those that replace them", () =>
    Effect.gen(function* () {
      const { apply, pool, reached, reachedByAll, server, web } = yield* proxy
      assert.isFalse(yield* reached)
      yield* apply({ services: [web], workloads: [server] })
      assert.isTrue(yield* reachedByAll)
      for (let shard = 0; shard < SHARDS; shard += 1) yield* pool.terminate(shard)
      // who accepts now has come after the push
      assert.isTrue(yield* reachedByAll)
      yield* apply({ removed: ["shop/web.shop.svc.cluster.local"] })
      assert.isFalse(yield* reached)
    }).pipe(Effect.scoped)
  )

  it.live("ends what it no longer allows, on whichever shard, and nothing else", () =>
    Effect.gen(function* () {
      const { apply, echo, socks5 } = yield* proxy
      const other = yield* listenEcho(SERVER_IP)
      const open = (port: number) =>
        Effect.promise(() =>
          Promise.all(Array.from({ length: 8 }, () => connectBySocks5(socks5, { host: SERVER_IP, port })))
        )
      const denied = yield* open(echo.port)
      const allowed = yield* open(other.port)
      yield* Effect.promise(() => Promise.all([...denied, ...allowed].map((socket) => exchange(socket, "hello"))))
      const ports = { any: [echo.port], none: [], notUnderstood: false }
      yield* apply({ policies: [policy("no-echo", { action: "Deny", rules: [[[{ destinationPorts: ports }]]] })] })
      yield* Effect.promise(() => Promise.all(denied.map(closed)))
      yield* Effect.promise(() => Promise.all(allowed.map((socket) => exchange(socket, "still there"))))
      for (const socket of allowed) socket.destroy()
    }).pipe(Effect.scoped)
  )

  it.live("is watched for policies that it names and does not have", () =>
    Effect.gen(function* () {
      const { apply, metrics, server } = yield* proxy
      const missing = (count: number) =>
        Effect.promise(() => eventually(() => metrics.total("policiesMissing") === count, `${count} missing policies`))
      yield* missing(0)
      yield* apply({ workloads: [{ ...server, authorizationPolicies: ["shop/a", "shop/b"] }] })
      yield* missing(2)
      yield* apply({ policies: [policy("a", { scope: "WorkloadSelector", dryRun: true })] })
      yield* missing(1)
      yield* apply({ workloads: [server] })
      yield* missing(0)
    }).pipe(Effect.scoped)
  )
})
