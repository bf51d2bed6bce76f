/** The mesh as one shard sees it: replaced whole, read as a plain property. Before the first state it is empty. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Mesh from "../../domain/mesh/Mesh.ts"
import type { MeshResources } from "../../domain/shard/Message.ts"

export class MeshReplica extends Context.Service<
  MeshReplica,
  { readonly current: () => Mesh.Mesh; readonly apply: (resources: MeshResources) => void }
>()("weft/layers/mesh/MeshReplica") {
  static readonly layer = (nodeName: string | undefined) =>
    Layer.sync(this, () => {
      let mesh = Mesh.make({ workloads: [], services: [] }, nodeName)
      return MeshReplica.of({
        current: () => mesh,
        apply: (resources) => {
          mesh = Mesh.make(resources, nodeName)
        }
      })
    })
}
