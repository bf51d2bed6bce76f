/** What is wrong with a mesh file: every problem that was found, each with its place. */
import * as Data from "effect/Data"

export interface MeshFileIssue {
  /** Counted from 1; column in characters. */
  readonly line: number
  readonly column: number
  /** `workloads[0].protocol`; empty for the file as a whole. */
  readonly path: string
  /** What was given and what is accepted, as one sentence. */
  readonly problem: string
}

export class MeshFileError extends Data.TaggedError("MeshFileError")<{
  readonly file: string
  /** Never empty, in the order of the text. */
  readonly issues: ReadonlyArray<MeshFileIssue>
}> {
  /** One line for each issue, the first twenty, in the form that editors and terminals make a link of. */
  override get message() {
    const shown = this.issues.slice(0, SHOWN).map(({ column, line, path, problem }) => {
      return `  ${this.file}:${line}:${column}: ${path === "" ? "" : `${path}: `}${problem}`
    })
    const rest = this.issues.length - shown.length
    if (rest > 0) shown.push(`  and ${rest} more`)
    const count = this.issues.length === 1 ? "a problem" : `${this.issues.length} problems`
    return [`the mesh file ${this.file} has ${count}:`, ...shown].join("\n")
  }
}

const SHOWN = 20
