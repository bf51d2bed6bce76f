/**
 * The mesh as one shard sees it. What the main thread pushes is staged unseen, in slices between which connections are
 * served, and is then seen all at once. One push at a time: the shard's program keeps their order.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Mesh } from "../../domain/mesh/Mesh.ts"
import { MeshState } from "../../domain/mesh/MeshState.ts"
import { stageBatches } from "../../domain/mesh/StageBatches.ts"
import { forEachInSlices, inSlices } from "../runtime/Slices.ts"

export class MeshReplica extends Context.Service<
  MeshReplica,
  {
    /** A plain property load, the same object all the time. Before the first push nothing is in it. */
    readonly current: () => Mesh
    /** Done when lookups see all of it. */
    readonly apply: (batches: ReadonlyArray<Uint8Array>) => Effect.Effect<void>
    /** What `apply` leaves to be done when there is time, before the next one. No lookup can tell. */
    readonly merge: Effect.Effect<void>
  }
>()("weft/layers/mesh/MeshReplica") {
  static readonly layer = (nodeName: string | undefined) =>
    Layer.sync(this, () => {
      const state = new MeshState({ nodeName })
      return MeshReplica.of({
        current: () => state,
        // what is refused here was refused on the main thread, which says so
        apply: (batches) =>
          Effect.andThen(
            forEachInSlices(stageBatches(state, batches), () => {}),
            Effect.sync(() => state.commit())
          ),
        merge: inSlices((more) => state.merge(more))
      })
    })
}
