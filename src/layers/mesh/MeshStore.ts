/**
 * The mesh on the main thread: the authority. It applies every batch to its own state first, so that what is refused is
 * known here, and then pushes the same bytes to whoever follows. A new shard is told the log: all batches that the state
 * is made of, in order.
 *
 * The log grows with every update. When it is far larger than what is live, all live resources are written once more, the
 * log is replaced by them, and they are pushed as any other version: a shard that has a resource already only moves to its
 * new place, and the memory of the old batches is free.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Mesh } from "../../domain/mesh/Mesh.ts"
import { MeshState } from "../../domain/mesh/MeshState.ts"
import { type Rejection, stageBatches } from "../../domain/mesh/StageBatches.ts"
import type { MeshPush } from "../../domain/shard/Message.ts"
import { encodeDelta } from "../../domain/xds/Delta.ts"
import { forEachInSlices, inSlices } from "../runtime/Slices.ts"

export class MeshStore extends Context.Service<
  MeshStore,
  {
    readonly current: () => Mesh
    /**
     * Makes all of `batches` visible at once, here and to the followers; answers what was not taken. One at a time, in the
     * order of the calls.
     */
    readonly apply: (batches: ReadonlyArray<Uint8Array>) => Effect.Effect<ReadonlyArray<Rejection>>
    /** What gives a new shard the state of now. Undefined before the first `apply`. */
    readonly log: () => MeshPush | undefined
    /** Told of every later push, as soon as `current` shows it. */
    readonly follow: (follower: (push: MeshPush) => void) => void
    /** The version of `current`: 0 before the first. */
    readonly version: SubscriptionRef.SubscriptionRef<number>
  }
>()("weft/layers/mesh/MeshStore") {
  static readonly layer = (nodeName: string | undefined) => Layer.effect(this, make(nodeName))
}

const make = Effect.fnUntraced(function* (nodeName: string | undefined) {
  const state = new MeshState({ nodeName })
  const followers: Array<(push: MeshPush) => void> = []
  const turn = yield* Semaphore.make(1)
  const version = yield* SubscriptionRef.make(0)
  let log: ReadonlyArray<Uint8Array> = []
  /** What all resources would take in the log, when last counted, and how many they were. */
  let counted = { bytes: 0, resources: 1 }

  /** From the staged bytes to everyone who sees them, in one stretch; `before` are those of the log that still count. */
  const publish = (before: ReadonlyArray<Uint8Array>, batches: ReadonlyArray<Uint8Array>) =>
    Effect.suspend(() => {
      state.commit()
      log = [...before, ...batches]
      const push: MeshPush = { _tag: "Mesh", version: SubscriptionRef.getUnsafe(version) + 1, batches }
      for (const follower of followers) follower(push)
      return SubscriptionRef.set(version, push.version)
    })

  const stage = Effect.fnUntraced(function* (batches: ReadonlyArray<Uint8Array>) {
    const rejections: Array<Rejection> = []
    yield* forEachInSlices(stageBatches(state, batches), (rejection) => {
      if (rejection !== undefined) rejections.push(rejection)
    })
    return rejections
  })
  const merge = inSlices((more) => state.merge(more))

  /** Far more than what is live, and more than a little. */
  const isLarge = () => {
    const { policies, services, workloads } = state.size
    const live = (counted.bytes / counted.resources) * (policies + services + workloads)
    return log.reduce((sum, { byteLength }) => sum + byteLength, 0) > 2 * live + 2 ** 20
  }
  const countLive = Effect.gen(function* () {
    let bytes = 0
    let resources = 0
    yield* forEachInSlices(state.entries(), ({ end, name, start }) => {
      bytes += end - start + name.length + FRAMING
      resources += 1
    })
    counted = { bytes, resources: Math.max(resources, 1) }
  })
  const compact = Effect.gen(function* () {
    const batches: Array<Uint8Array> = []
    yield* forEachInSlices(parts(state), (part) => batches.push(part))
    yield* stage(batches)
    yield* publish([], batches)
    yield* merge
  })

  return MeshStore.of({
    current: () => state,
    apply: Effect.fnUntraced(
      function* (batches) {
        const rejections = yield* stage(batches)
        yield* publish(log, batches)
        yield* merge
        if (isLarge()) yield* countLive
        if (isLarge()) yield* compact
        return rejections
      },
      // half of a batch must not wait for the next one's commit
      Effect.uninterruptible,
      turn.withPermit
    ),
    log: () => {
      const last = SubscriptionRef.getUnsafe(version)
      return last === 0 ? undefined : { _tag: "Mesh", version: last, batches: log }
    },
    follow: (follower) => void followers.push(follower),
    version
  })
})

/** All that is live as new batches, each small enough to be written, and looked over, well within a slice. */
function* parts(state: MeshState): Generator<Uint8Array> {
  let part: Array<{ readonly name: string; readonly value: Uint8Array }> = []
  let bytes = 0
  let type = ""
  for (const { chunk, end, name, start, typeUrl } of state.entries()) {
    if (part.length > 0 && (bytes > PART_BYTES || typeUrl !== type)) {
      yield encodeDelta(type, part, [])
      part = []
      bytes = 0
    }
    type = typeUrl
    bytes += end - start
    part.push({ name, value: chunk.subarray(start, end) })
  }
  if (part.length > 0) yield encodeDelta(type, part, [])
}

const PART_BYTES = 2 ** 18
/** What a resource takes in a batch besides its name and itself: tags and lengths. */
const FRAMING = 16
