/**
 * Files that others replace while the process runs: edited, renamed into place, or behind symbolic links that are swapped
 * (a mounted ConfigMap or Secret). They are asked for their `stat` four times a second rather than watched: inotify
 * follows neither links nor network file systems.
 */
import { constants } from "node:fs"
import { open, stat } from "node:fs/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export class FileUnreadable extends Data.TaggedError("FileUnreadable")<{
  readonly path: string
  readonly detail: string
}> {
  override get message() {
    return `${this.path} cannot be read: ${this.detail}`
  }
}

/**
 * Runs `react` whenever some of the files are others than they were, or are gone or there again, and have stood like this
 * for two looks: what is being written is left alone. Their state of now is the first to be compared with.
 */
export const whenFilesChange = Effect.fnUntraced(function* (
  paths: ReadonlyArray<string>,
  react: Effect.Effect<unknown>
): Effect.fn.Return<void, never, Scope.Scope> {
  const look = Effect.map(Effect.forEach(paths, signatureOf, { concurrency: "unbounded" }), (all) => all.join())
  let known = yield* look
  let seen = known
  const step = Effect.flatMap(look, (signature) => {
    const settled = signature === seen
    seen = signature
    if (!settled || signature === known) return Effect.void
    known = signature
    return react
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(step, POLL_MS)))
})

export const readText = (path: string): Effect.Effect<string, FileUnreadable> =>
  Effect.tryPromise({
    try: () => readRegular(path),
    catch: (cause) => new FileUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
  })

/** A pipe in the file's place would keep its reader, and a thread, for ever. */
const readRegular = async (path: string): Promise<string> => {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if (!(await file.stat()).isFile()) throw new Error("it is not a regular file")
  return file.readFile("utf8")
}

/** What differs when the file, or the file behind the link, is another or has changed; also its absence. */
export const signatureOf = (path: string): Effect.Effect<string> =>
  Effect.promise(() =>
    stat(path, { bigint: true }).then(
      ({ ctimeNs, dev, ino, mtimeNs, size }) => `${dev} ${ino} ${mtimeNs} ${ctimeNs} ${size}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.message
    )
  )

const POLL_MS = 250
