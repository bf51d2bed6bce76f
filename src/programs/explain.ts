/** `weft explain`: what would become of a connection in the mesh of a file, and why. Starts nothing and asks nobody. */
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import { explainIn, type Question, readMesh } from "../domain/decide/ExplainFile.ts"
import { explanationJson } from "../domain/decide/ExplainJson.ts"
import { explanationText, isCarried } from "../domain/decide/ExplainText.ts"

export interface ExplainOptions extends Question {
  /** The mesh file's path. */
  readonly mesh: string
  readonly json: boolean
}

export const explain = Effect.fnUntraced(function* (options: ExplainOptions) {
  const text = yield* read(options.mesh)
  const answer = Result.flatMap(readMesh(text, options.mesh), (mesh) => explainIn(mesh, options))
  const told = yield* Effect.mapError(Effect.fromResult(answer), ({ message }) => new BadInput({ message }))
  yield* Console.log(options.json ? JSON.stringify(explanationJson(told), undefined, 2) : explanationText(told))
  if (!isCarried(told.outcome)) return yield* new NotCarried()
})

const read = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(path)).pipe(
    Effect.mapError(({ message, reason: { cause } }) => {
      const detail = cause instanceof Error ? cause.message : message
      return new BadInput({ message: `the mesh file ${path} cannot be read: ${detail}` })
    })
  )

/** The answer has been given, and it is no: there is nothing more to say. */
class NotCarried extends Data.TaggedError("NotCarried")<{}> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

/** The question cannot be answered. */
class BadInput extends Data.TaggedError("BadInput")<{ readonly message: string }> {
  override readonly [Runtime.errorExitCode] = 2
}
