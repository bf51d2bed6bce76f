/**
 * The mesh from a file (or an inline text), followed while the process runs: the file may be edited, replaced, or be
 * behind symbolic links that are swapped (a mounted ConfigMap). What is bad is reported and never replaces what is good.
 *
 * The file is asked for its `stat` four times a second rather than watched: inotify follows neither links nor network
 * file systems. It is read once its `stat` has been the same twice, so a file that is being written is left alone.
 */
import { constants } from "node:fs"
import { open, stat } from "node:fs/promises"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import { parseMeshFile } from "../../domain/mesh/MeshFile.ts"
import type { MeshFileError } from "../../domain/mesh/MeshFileError.ts"
import type { MeshResources } from "../../domain/shard/Message.ts"

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
    /** The last good state, from the start on, and every later one. */
    readonly resources: SubscriptionRef.SubscriptionRef<MeshResources>
  }
>()("weft/layers/mesh/MeshFileSource") {
  /** Fails when the first state is bad: there is nothing older to keep. */
  static readonly layerFrom = (source: ProxySettings["meshSource"]) =>
    Layer.effect(this, source._tag === "File" ? fromFile(source.path) : fromText(source.text))
}

type Service = MeshFileSource["Service"]

const fromText = Effect.fnUntraced(function* (text: string): Effect.fn.Return<Service, MeshFileError> {
  const resources = yield* Effect.fromResult(parseMeshFile(text, "LOCAL_XDS"))
  return { resources: yield* SubscriptionRef.make(resources) }
})

const fromFile = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Service, MeshFileUnreadable | MeshFileError, Scope.Scope> {
  const seen = yield* signatureOf(path)
  const text = yield* read(path)
  const resources = yield* SubscriptionRef.make(yield* Effect.fromResult(parseMeshFile(text, path)))
  yield* Effect.forkScoped(follow(path, resources, { judged: "", seen, text, bad: false }))
  return { resources }
})

interface State {
  /** The signature whose content was applied or reported; not yet the first one, which was read before it had settled. */
  judged: string
  /** The signature at the last look. */
  seen: string
  /** The content that is applied. */
  text: string
  /** The file is not what is applied. */
  bad: boolean
}

const follow = (path: string, resources: Service["resources"], state: State) =>
  Effect.forever(Effect.delay(look(path, resources, state), POLL_MS))

const look = Effect.fnUntraced(function* (path: string, resources: Service["resources"], state: State) {
  const signature = yield* signatureOf(path)
  const settled = signature === state.seen
  state.seen = signature
  if (!settled || signature === state.judged) return
  const content = yield* Effect.result(read(path))
  // written to while it was read: what was read may be half of it
  if ((yield* signatureOf(path)) !== signature) return
  state.judged = signature
  const unchanged = Result.isSuccess(content) && content.success === state.text
  const mesh = unchanged ? undefined : Result.flatMap(content, (text) => parseMeshFile(text, path))
  if (mesh !== undefined && Result.isFailure(mesh)) {
    state.bad = true
    return yield* Effect.logError(`${mesh.failure.message}\nthe mesh stays as it was before`)
  }
  if (state.bad) yield* Effect.logInfo(`the mesh file ${path} is good again`)
  state.bad = false
  if (mesh === undefined || Result.isFailure(content)) return
  state.text = content.success
  const { services, workloads } = mesh.success
  yield* Effect.logInfo(`the mesh file ${path} has changed: ${workloads.length} workloads, ${services.length} services`)
  yield* SubscriptionRef.set(resources, mesh.success)
})

const read = (path: string) =>
  Effect.tryPromise({
    try: () => readRegular(path),
    catch: (cause) =>
      new MeshFileUnreadable({ file: path, detail: cause instanceof Error ? cause.message : String(cause) })
  })

/** A pipe in the file's place would keep its reader, and a thread, for ever. */
const readRegular = async (path: string): Promise<string> => {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if (!(await file.stat()).isFile()) throw new Error("it is not a regular file")
  return file.readFile("utf8")
}

/** What differs when the file, or the file behind the link, is another or has changed; also its absence. */
const signatureOf = (path: string): Effect.Effect<string> =>
  Effect.promise(() =>
    stat(path, { bigint: true }).then(
      ({ ctimeNs, dev, ino, mtimeNs, size }) => `${dev} ${ino} ${mtimeNs} ${ctimeNs} ${size}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.message
    )
  )

const POLL_MS = 250
