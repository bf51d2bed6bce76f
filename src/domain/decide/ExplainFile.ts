/** The question of `weft explain`: about one connection in the mesh of a file. The file becomes a mesh as it does in the proxy. */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { parseMeshFile } from "../mesh/MeshFile.ts"
import { meshFileDelta, NO_CONTRIBUTION } from "../mesh/MeshFileDelta.ts"
import type { MeshFileError } from "../mesh/MeshFileError.ts"
import { MeshState } from "../mesh/MeshState.ts"
import { type Rejection, stageBatches } from "../mesh/StageBatches.ts"
import type { Workload } from "../mesh/Workload.ts"
import { type AuthorityError, parseAuthority } from "../wire/Authority.ts"
import { explain } from "./Explain.ts"
import type { Explanation } from "./Explanation.ts"
import { findSource, type UnknownSource } from "./ExplainSource.ts"

export interface Question {
  /** `namespace/name`, or a uid. */
  readonly from: string
  /** `host:port`. */
  readonly to: string
  /** The proxy's network; undefined: the source's, as it should be. */
  readonly network: string | undefined
}

export class MeshRejected extends Data.TaggedError("MeshRejected")<{
  readonly file: string
  /** Never empty. */
  readonly rejections: ReadonlyArray<Rejection>
}> {
  override get message() {
    const lines = this.rejections.map(({ name, reason }) => `  ${name}: ${reason}`)
    return [`the mesh file ${this.file} holds what a mesh cannot:`, ...lines].join("\n")
  }
}

/** A mesh file as a mesh, to be asked about. */
export interface ReadMesh {
  readonly mesh: MeshState
  readonly workloads: ReadonlyArray<Workload>
}

/** `name` is what messages call the file. */
export const readMesh = (text: string, name: string): Result.Result<ReadMesh, MeshFileError | MeshRejected> =>
  Result.flatMap(parseMeshFile(text, name), (resources) => {
    const mesh = new MeshState()
    const { batches } = meshFileDelta(NO_CONTRIBUTION, resources)
    const rejections = Array.from(stageBatches(mesh, batches)).filter((each) => each !== undefined)
    mesh.commit()
    if (rejections.length > 0) return Result.fail(new MeshRejected({ file: name, rejections }))
    return Result.succeed({ mesh, workloads: resources.workloads })
  })

export const explainIn = (
  { mesh, workloads }: ReadMesh,
  { from, network, to }: Question
): Result.Result<Explanation, AuthorityError | UnknownSource> =>
  Result.gen(function* () {
    const authority = yield* parseAuthority(to)
    const found = yield* findSource(workloads, from)
    const source = mesh.workloadByUid(found.uid) ?? found
    return explain(mesh, {
      source,
      to: authority,
      network: network ?? source.network,
      hbonePort: HBONE,
      illegalPorts: [OUTBOUND, PASSTHROUGH, HBONE],
      // any will do, if it is always the same
      random: 0
    })
  })

const OUTBOUND = 15001
const PASSTHROUGH = 15006
const HBONE = 15008
