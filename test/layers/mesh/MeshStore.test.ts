import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { stageBatches } from "../../../src/domain/mesh/StageBatches.ts"
import { serviceKey } from "../../../src/domain/mesh/Service.ts"
import type { MeshPush } from "../../../src/domain/shard/Message.ts"
import { encodeDelta } from "../../../src/domain/xds/Delta.ts"
import { ADDRESS_TYPE } from "../../../src/domain/xds/Resources.ts"
import { MeshStore } from "../../../src/layers/mesh/MeshStore.ts"
import { batchesOf, type Changes, namesIn } from "../../support/batches.ts"
import { longestStretch } from "../../support/longestStretch.ts"
import { behind, policy, service, workload } from "../../support/meshes.ts"

/** A store with a follower that remembers, and one that applies what it hears as a shard does. */
const following = Effect.gen(function* () {
  const store = yield* Effect.map(Layer.build(MeshStore.layer(undefined)), Context.get(MeshStore))
  const pushes: Array<MeshPush> = []
  const live = new MeshState()
  store.follow((push) => {
    pushes.push(push)
    take(live, push)
  })
  return { store, pushes, live, apply: (changes: Changes) => store.apply(batchesOf(changes)) }
})

const take = (state: MeshState, { batches }: MeshPush): MeshState => {
  for (const _ of stageBatches(state, batches));
  state.commit()
  return state
}

/** All that a state holds: what it is called, and its bytes. */
const held = (state: MeshState): ReadonlyArray<string> =>
  Array.from(
    state.entries(),
    ({ chunk, end, name, start, typeUrl }) =>
      `${typeUrl} ${name} ${Buffer.from(chunk.subarray(start, end)).toString("hex")}`
  ).toSorted()

const bytesOf = ({ batches }: MeshPush) => batches.reduce((sum, { byteLength }) => sum + byteLength, 0)

const web = service("web", ["10.9.0.1"])
const pod = (index: number, revision: number) =>
  workload(`web-${index}`, [`10.0.${index >> 8}.${index & 255}`], {
    ...behind(web),
    canonicalRevision: `${revision}-`.padEnd(2_000, "x")
  })
const pods = (count: number, revision = 0) => Array.from({ length: count }, (_, index) => pod(index, revision))

describe("the authority of the mesh", () => {
  it.effect("pushes each version, with all of its batches, as soon as it shows it itself", () =>
    Effect.gen(function* () {
      const { pushes, store } = yield* following
      const seen: Array<string | undefined> = []
      store.follow(() => void seen.push(store.current().workloadByUid(pod(0, 0).uid)?.name))
      assert.isUndefined(store.log())
      assert.deepStrictEqual(yield* store.apply(batchesOf({ policies: [policy("p")] })), [])
      yield* store.apply(batchesOf({ workloads: pods(2), services: [web], policies: [policy("q")] }))
      assert.deepStrictEqual(
        pushes.map(({ batches, version }) => [version, batches.length]),
        [
          [1, 1],
          [2, 2]
        ]
      )
      assert.deepStrictEqual(seen, [undefined, "web-0"])
      assert.strictEqual(SubscriptionRef.getUnsafe(store.version), 2)
      assert.isTrue(pushes.every(({ batches }) => batches.every(({ buffer }) => buffer instanceof SharedArrayBuffer)))
    })
  )

  it.effect("has a version even if nothing is in it: that is a mesh too", () =>
    Effect.gen(function* () {
      const { pushes, store } = yield* following
      yield* store.apply([])
      assert.deepStrictEqual(store.log(), { _tag: "Mesh", version: 1, batches: [] })
      assert.lengthOf(pushes, 1)
    })
  )

  it.effect("takes what is good of a batch and answers with the rest, by name and reason", () =>
    Effect.gen(function* () {
      const { live, store } = yield* following
      const [good] = batchesOf({ workloads: [pod(1, 0)] })
      const bad = encodeDelta(ADDRESS_TYPE, [{ name: "broken", value: Uint8Array.of(10, 99) }], [])
      const unknown = encodeDelta("type.googleapis.com/x.Y", [{ name: "other", value: Uint8Array.of() }], [])
      const rejections = yield* store.apply([bad, good!, unknown, Uint8Array.of(18, 200)])
      assert.deepStrictEqual(
        rejections.map(({ name }) => name),
        ["broken", "other", ""]
      )
      assert.match(rejections[0]!.reason, /^decode: /)
      assert.include(rejections[1]!.reason, "x.Y")
      assert.strictEqual(live.workloadByUid(pod(1, 0).uid)?.name, "web-1")
    })
  )

  it.effect("applies in the order of the calls, one at a time", () =>
    Effect.gen(function* () {
      const { apply, live, pushes } = yield* following
      const first = yield* Effect.forkChild(apply({ workloads: pods(3_000, 1) }), { startImmediately: true })
      const second = yield* Effect.forkChild(apply({ workloads: [pod(0, 2)] }), { startImmediately: true })
      yield* Fiber.join(second)
      yield* Fiber.join(first)
      assert.deepStrictEqual(
        pushes.slice(0, 2).map(({ batches }) => namesIn(batches).length),
        [3_000, 1]
      )
      assert.match(live.workloadByUid(pod(0, 0).uid)!.canonicalRevision, /^2-/)
    })
  )

  it.effect("is not left with half of a batch by a caller that goes away", () =>
    Effect.gen(function* () {
      const { apply, pushes } = yield* following
      const fiber = yield* Effect.forkChild(apply({ workloads: pods(3_000) }), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* apply({ workloads: [pod(0, 1)] })
      assert.deepStrictEqual(
        pushes.slice(0, 2).map(({ batches }) => namesIn(batches).length),
        [3_000, 1]
      )
    })
  )
})

describe("the log of a new shard", () => {
  it.effect("gives the state of now, whatever has happened", () =>
    Effect.gen(function* () {
      const { apply, live, store } = yield* following
      yield* apply({ workloads: pods(9), services: [web], policies: [policy("p"), policy("q")] })
      yield* apply({ workloads: [pod(3, 1)], removed: [pod(4, 0).uid] })
      yield* apply({ removed: [serviceKey(web)], removedPolicies: ["shop/p"] })
      yield* apply({ workloads: [pod(4, 2)], policies: [policy("p", { action: "Deny" })] })
      const log = store.log()!
      assert.strictEqual(log.version, 4)
      const replayed = held(take(new MeshState(), log))
      assert.lengthOf(replayed, 11)
      assert.deepStrictEqual(replayed, held(live))
    })
  )

  it.effect("stays near the size of what is live, and followers end with the same mesh", () =>
    Effect.gen(function* () {
      const { apply, live, pushes, store } = yield* following
      yield* apply({ services: [web], policies: [policy("p")], workloads: pods(400) })
      const [first] = pushes
      const bytes = bytesOf(first!)
      assert.isBelow(bytes, 2 ** 20)
      const sizes: Array<number> = []
      for (let revision = 1; revision <= 8; revision += 1) {
        yield* apply({ workloads: pods(400, revision) })
        sizes.push(bytesOf(store.log()!) / bytes)
      }
      // at most twice what is live, and 1 MiB
      assert.isBelow(Math.max(...sizes) * bytes, 2.1 * bytes + 2 ** 20)
      const compactions = pushes.filter(({ batches }) => batches.length > 1).slice(1)
      assert.isAbove(compactions.length, 0)
      assert.isBelow(compactions.length, 4)
      const names = namesIn(compactions[0]!.batches)
      assert.lengthOf(names, 402)
      assert.include(names, "shop/p")
      assert.strictEqual(store.log()!.version, pushes.length)
      assert.deepStrictEqual(
        pushes.map(({ version }) => version),
        Array.from(pushes, (_, index) => index + 1)
      )
      const replayed = held(take(new MeshState(), store.log()!))
      assert.lengthOf(replayed, 402)
      assert.deepStrictEqual(replayed, held(live))
      const chunks = new Set(Array.from(live.entries(), ({ chunk }) => chunk))
      assert.isTrue([...chunks].every((chunk) => store.log()!.batches.includes(chunk)))
    })
  )

  it.effect("does not grow without end when most of the mesh goes away", () =>
    Effect.gen(function* () {
      const { apply, store } = yield* following
      yield* apply({ workloads: pods(600) })
      const full = bytesOf(store.log()!)
      yield* apply({ removed: pods(600).map(({ uid }) => uid) })
      assert.isAbove(full, 2 ** 20)
      assert.strictEqual(bytesOf(store.log()!), 0)
    })
  )

  it.effect("is written anew without standing still", () =>
    Effect.gen(function* () {
      // nobody follows: the follower of the other tests stands still itself
      const store = yield* Effect.map(Layer.build(MeshStore.layer(undefined)), Context.get(MeshStore))
      for (const revision of [0, 1]) yield* store.apply(batchesOf({ workloads: pods(4_000, revision) }))
      const longest = yield* longestStretch(store.apply(batchesOf({ workloads: pods(4_000, 2) })))
      assert.isAbove(store.log()!.version, 3)
      assert.isBelow(longest, 50)
    })
  )
})
