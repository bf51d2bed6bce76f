import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { MeshReplica } from "../../../src/layers/mesh/MeshReplica.ts"
import { batchesOf } from "../../support/batches.ts"
import { longestStretch } from "../../support/longestStretch.ts"
import { behind, policy, service, workload } from "../../support/meshes.ts"

const replica = Effect.map(Layer.build(MeshReplica.layer("n1")), Context.get(MeshReplica))

const web = service("web", ["10.9.0.1"])
const pods = (count: number, revision = "") =>
  Array.from({ length: count }, (_, index) =>
    workload(`web-${index}`, [`10.0.${index >> 8}.${index & 255}`], { ...behind(web), canonicalRevision: revision })
  )

describe("the mesh of a shard", () => {
  it.effect("is empty at first", () =>
    Effect.gen(function* () {
      const { current } = yield* replica
      assert.isUndefined(current().workloadByAddress("", ipUnsafe("10.0.0.1")))
    })
  )

  it.effect("takes 20 000 workloads without standing still, first and when all of them change", () =>
    Effect.gen(function* () {
      const { apply, current, merge } = yield* replica
      const batches = yield* Effect.forEach(["1", "2"], (revision) =>
        Effect.sync(() => batchesOf({ services: [web], workloads: pods(20_000, revision) }))
      )
      for (const [index, batch] of batches.entries()) {
        const longest = yield* longestStretch(Effect.andThen(apply(batch), merge))
        assert.isBelow(longest, 50)
        const last = current().workloadByAddress("", ipUnsafe("10.0.78.31"))
        assert.strictEqual(last?.canonicalRevision, String(index + 1))
        assert.lengthOf(current().endpoints(web).all, 20_000)
      }
    })
  )

  it.effect("shows all of a push or nothing of it, however many batches it has", () =>
    Effect.gen(function* () {
      const { apply, current } = yield* replica
      const named = { authorizationPolicies: ["shop/allow"] }
      const push = batchesOf({
        workloads: [...pods(5_000), workload("db", ["10.8.0.1"], named)],
        services: [web],
        policies: [policy("allow", { scope: "WorkloadSelector" })]
      })
      assert.lengthOf(push, 2)
      const seen = new Set<string>()
      const look = () => {
        const first = current().workloadByAddress("", ipUnsafe("10.0.0.0"))
        const last = current().workloadByAddress("", ipUnsafe("10.8.0.1"))
        const allowed = current().policyByKey("shop/allow")
        seen.add(`${first?.name} ${last?.name} ${allowed?.key} ${current().endpoints(web).all.length}`)
        pending = setImmediate(look)
      }
      let pending = setImmediate(look)
      yield* apply(push)
      look()
      clearImmediate(pending)
      assert.deepStrictEqual([...seen], ["undefined undefined undefined 0", "web-0 db shop/allow 5000"])
    })
  )

  it.effect("does what is right of a push that has something wrong in it", () =>
    Effect.gen(function* () {
      const { apply, current } = yield* replica
      yield* apply([Uint8Array.of(18, 200), ...batchesOf({ workloads: pods(1) })])
      assert.strictEqual(current().workloadByAddress("", ipUnsafe("10.0.0.0"))?.name, "web-0")
    })
  )

  it.effect("that is no longer wanted stops in the middle", () =>
    Effect.gen(function* () {
      const { apply, current } = yield* replica
      const applying = yield* Effect.forkChild(apply(batchesOf({ workloads: pods(5_000) })), { startImmediately: true })
      yield* Fiber.interrupt(applying)
      assert.isUndefined(current().workloadByAddress("", ipUnsafe("10.0.0.0")))
    })
  )
})
