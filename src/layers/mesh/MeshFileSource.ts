/**
 * The mesh from a file (or an inline text), followed while the process runs: the file may be edited, replaced, or be
 * behind symbolic links that are swapped (a mounted ConfigMap). What is bad is reported and never replaces what is good.
 * It is handed on as batches of what has changed; of the file itself nothing stays in memory but its encoded resources.
 *
 * The file is asked for its `stat` four times a second rather than watched: inotify follows neither links nor network
 * file systems. It is read once its `stat` has been the same twice, so a file that is being written is left alone.
 */
import { createHash } from "node:crypto"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { MeshFile } from "../../domain/config/ProxySettings.ts"
import { parseMeshFile } from "../../domain/mesh/MeshFile.ts"
import { type Contribution, meshFileDelta, NO_CONTRIBUTION } from "../../domain/mesh/MeshFileDelta.ts"
import type { MeshFileError } from "../../domain/mesh/MeshFileError.ts"
import { readText, signatureOf } from "../os/FileChanges.ts"

export class MeshFileUnreadable extends Data.TaggedError("MeshFileUnreadable")<{
  readonly file: string
  readonly detail: string
}> {
  override get message() {
    return `the mesh file ${this.file} cannot be read: ${this.detail}; LOCAL_XDS_PATH has to name a file that this process may read`
  }
}

export class MeshFileSource extends Context.Service<
  MeshFileSource,
  {
    /** What each good state changes, as batches to be applied at once. The first is there from the start on. */
    readonly changes: Queue.Dequeue<ReadonlyArray<Uint8Array>>
  }
>()("weft/layers/mesh/MeshFileSource") {
  /** Fails when the first state is bad: there is nothing older to keep. */
  static readonly layerFrom = (source: MeshFile) =>
    Layer.effect(this, source._tag === "File" ? fromFile(source.path) : fromText(source.text))
}

type Service = MeshFileSource["Service"]

const fromText = Effect.fnUntraced(function* (text: string): Effect.fn.Return<Service, MeshFileError> {
  const { batches } = meshFileDelta(NO_CONTRIBUTION, yield* Effect.fromResult(parseMeshFile(text, "LOCAL_XDS")))
  const changes = yield* Queue.unbounded<ReadonlyArray<Uint8Array>>()
  yield* Queue.offer(changes, batches)
  return { changes }
})

const fromFile = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Service, MeshFileUnreadable | MeshFileError, Scope.Scope> {
  const seen = yield* signatureOf(path)
  const text = yield* read(path)
  const first = meshFileDelta(NO_CONTRIBUTION, yield* Effect.fromResult(parseMeshFile(text, path)))
  const changes = yield* Queue.unbounded<ReadonlyArray<Uint8Array>>()
  yield* Queue.offer(changes, first.batches)
  const state: State = { judged: "", seen, digest: digestOf(text), contribution: first.contribution, bad: false }
  yield* Effect.forkScoped(Effect.forever(Effect.delay(look(path, changes, state), POLL_MS)))
  return { changes }
})

interface State {
  /** The signature whose content was applied or reported; not yet the first one, which was read before it had settled. */
  judged: string
  /** The signature at the last look. */
  seen: string
  /** Of the content that is applied. */
  digest: string
  /** What that content is made of. */
  contribution: Contribution
  /** The file is not what is applied. */
  bad: boolean
}

const look = Effect.fnUntraced(function* (
  path: string,
  changes: Queue.Enqueue<ReadonlyArray<Uint8Array>>,
  state: State
) {
  const signature = yield* signatureOf(path)
  const settled = signature === state.seen
  state.seen = signature
  if (!settled || signature === state.judged) return
  const content = yield* Effect.result(read(path))
  // written to while it was read: what was read may be half of it
  if ((yield* signatureOf(path)) !== signature) return
  state.judged = signature
  const digest = Result.isSuccess(content) ? digestOf(content.success) : ""
  const unchanged = digest === state.digest
  const mesh = unchanged ? undefined : Result.flatMap(content, (text) => parseMeshFile(text, path))
  if (mesh !== undefined && Result.isFailure(mesh)) {
    state.bad = true
    return yield* Effect.logError(`${mesh.failure.message}\nthe mesh stays as it was before`)
  }
  if (state.bad) yield* Effect.logInfo(`the mesh file ${path} is good again`)
  state.bad = false
  if (mesh === undefined) return
  state.digest = digest
  const { policies, services, workloads } = mesh.success
  yield* Effect.logInfo(
    `the mesh file ${path} has changed: ${workloads.length} workloads, ${services.length} services, ${policies.length} policies`
  )
  const { batches, contribution } = meshFileDelta(state.contribution, mesh.success)
  state.contribution = contribution
  if (batches.length > 0) yield* Queue.offer(changes, batches)
})

const read = (path: string) =>
  Effect.mapError(readText(path), ({ detail }) => new MeshFileUnreadable({ file: path, detail }))

const digestOf = (text: string): string => createHash("sha256").update(text).digest("base64")

const POLL_MS = 250
