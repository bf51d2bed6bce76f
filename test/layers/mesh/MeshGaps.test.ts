import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { makeMeshGaps } from "../../../src/layers/mesh/MeshGaps.ts"
import { policy, workload } from "../../support/meshes.ts"
import { type Resources, simpleMesh } from "../../support/SimpleMesh.ts"

const pod = (name: string, authorizationPolicies: ReadonlyArray<string> = []) =>
  workload(name, [], { authorizationPolicies })
const selected = (name: string) => policy(name, { scope: "WorkloadSelector" })
const info = (name: string) => ({ namespace: "shop", name, serviceAccount: "default" })

/** Serves `cart` and `till`; `says` looks at a mesh, and answers what is logged then, and the gauge. */
const watching = (served = [info("cart"), info("till")], nodeName?: string) => {
  let mesh = simpleMesh({ workloads: [], services: [], policies: [] })
  let gauge: number | undefined
  const gaps = makeMeshGaps({
    mesh: () => mesh,
    workloads: () => served,
    nodeName,
    onMissingPolicies: (count) => (gauge = count)
  })
  return (next: Partial<Resources>) =>
    Effect.gen(function* () {
      mesh = simpleMesh({ workloads: [], services: [], policies: [], ...next }, nodeName)
      const logged: Array<string> = []
      const logger = Logger.make(
        ({ logLevel, message }) => void logged.push(`${logLevel}: ${[message].flat().join(" ")}`)
      )
      yield* Effect.provide(gaps, Logger.layer([logger]))
      return { logged, gauge }
    })
}

const NO_CARD =
  "Warn: the workload shop/cart names the policy shop/card, which the mesh does not have: " +
  "its connections are judged without that policy until it comes"

describe("what the mesh lacks", () => {
  it.effect("a policy that a served workload names is missed once, for as long as it lasts", () =>
    Effect.gen(function* () {
      const says = watching()
      const workloads = [pod("cart", ["shop/card", "shop/cash"]), pod("till")]
      const policies = [selected("cash")]
      assert.deepStrictEqual(yield* says({ workloads, policies }), { logged: [NO_CARD], gauge: 1 })
      assert.deepStrictEqual(yield* says({ workloads, policies }), { logged: [], gauge: 1 })
      assert.deepStrictEqual(yield* says({ workloads, policies: [...policies, selected("card")] }), {
        logged: [],
        gauge: 0
      })
      assert.deepStrictEqual(yield* says({ workloads, policies }), { logged: [NO_CARD], gauge: 1 })
    })
  )

  it.effect("is counted for each workload that is served here, and no other", () =>
    Effect.gen(function* () {
      const says = watching()
      const named = ["shop/a", "shop/b"]
      const { gauge, logged } = yield* says({ workloads: [pod("cart", named), pod("till", named), pod("web", named)] })
      assert.strictEqual(gauge, 4)
      assert.lengthOf(logged, 4)
      assert.isTrue(logged.every((line) => !line.includes("shop/web")))
    })
  )

  it.effect("a served workload itself is missed, and its node named if there is one", () =>
    Effect.gen(function* () {
      const says = watching([info("cart")], "n2")
      const missed =
        "Warn: the mesh has no workload cart in namespace shop with service account default on node n2: " +
        "its connections will be refused"
      assert.deepStrictEqual(yield* says({ workloads: [pod("cart")] }), { logged: [missed], gauge: 0 })
      assert.deepStrictEqual(yield* says({ workloads: [{ ...pod("cart"), node: "n2" }] }), { logged: [], gauge: 0 })
    })
  )
})
