/** Answers of `weft explain`, without the program around it. */
import { readFileSync } from "node:fs"
import * as Result from "effect/Result"
import { explainIn, readMesh } from "../../src/domain/decide/ExplainFile.ts"
import type { Explanation } from "../../src/domain/decide/Explanation.ts"

/** Asks about the mesh of a file. */
export const explained = (path: string): ((from: string, to: string, network?: string) => Explanation) => {
  const mesh = Result.getOrThrow(readMesh(readFileSync(path, "utf8"), path))
  return (from, to, network) => Result.getOrThrow(explainIn(mesh, { from, to, network }))
}
