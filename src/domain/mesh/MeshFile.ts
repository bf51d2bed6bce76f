/**
 * ztunnel's mesh file (`LOCAL_XDS_PATH`, `LOCAL_XDS`; reference state §7) → `MeshResources`. YAML, so JSON too. All
 * problems of a file are reported at once, each with its place.
 *
 * Stricter than ztunnel where ztunnel loses what was written: an empty document (a file that is being replaced looks
 * like one, and would turn the mesh off), and two workloads of one uid or two services of one key.
 */
import * as Result from "effect/Result"
import { LineCounter, parseDocument, type Tags } from "yaml"
import type { MeshResources } from "../shard/Message.ts"
import { refused } from "./MeshFileFields.ts"
import { MeshFileError, type MeshFileIssue } from "./MeshFileError.ts"
import { service } from "./MeshFileService.ts"
import { workload } from "./MeshFileWorkload.ts"
import { serviceKey } from "./Service.ts"
import { fail, isAbsent, issueAt, list, mapping, optional, type Read, root, type Source } from "./YamlReader.ts"

/** `name` is what messages call the file: its path, or the setting that held the text. Never throws. */
export const parseMeshFile = (text: string, name: string): Result.Result<MeshResources, MeshFileError> =>
  Result.mapError(Result.flatMap(parseYaml(text), mesh), (issues) => {
    const inOrder = issues.toSorted((a, b) => a.line - b.line || a.column - b.column)
    return new MeshFileError({ file: name, issues: inOrder })
  })

const parseYaml = (text: string): Result.Result<Source, ReadonlyArray<MeshFileIssue>> => {
  const lines = new LineCounter()
  const parsed = Result.try(() => parseDocument(text, { ...OPTIONS, lineCounter: lines }))
  if (Result.isFailure(parsed)) {
    // the parser recurses: some thousand brackets exhaust the stack
    return Result.fail([
      { line: 1, column: 1, path: "", problem: "YAML that cannot be read; is it nested too deeply?" }
    ])
  }
  const source = { document: parsed.success, lines, aliases: 0 }
  // warnings are unknown tags and directives: what they meant would be ignored
  const problems = [...source.document.errors, ...source.document.warnings]
  if (problems.some(({ code }) => code === "RESOURCE_EXHAUSTION")) return tooDeep
  if (problems.length === 0) return Result.succeed(source)
  return Result.fail(problems.map(({ message, pos }) => issueAt({ ...root(source), offset: pos[0] }, message)))
}

/** The parser recurses: some thousand brackets exhaust the stack, wherever in it that is noticed. */
const tooDeep = Result.fail([
  { line: 1, column: 1, path: "", problem: "this YAML cannot be read; it is nested too deeply" }
])

const mesh = (source: Source) => {
  const place = root(source)
  if (isAbsent(place)) return fail(place, "an empty document was given; write {} for a mesh with nothing in it")
  return Result.map(topLevel(place), ({ services, workloads }): MeshResources => ({ workloads, services }))
}

interface TopLevel extends MeshResources {
  readonly policies: ReadonlyArray<never>
}

const topLevel: Read<TopLevel> = mapping<TopLevel>({
  workloads: optional(list(workload, { of: ({ uid }) => uid, name: "uid" }), []),
  services: optional(list(service, { of: serviceKey, name: "namespace and hostname" }), []),
  policies: optional(refused("authorization policies are"), [])
})

/** The string matchers of policies: known, so that a file with policies is refused for its policies and nothing else. */
const MATCHERS: Tags = [
  ...["!Exact", "!Prefix", "!Suffix"].map((tag) => ({ tag, resolve: (value: string) => value })),
  { tag: "!Presence", collection: "seq", resolve: (value) => value }
]

/** Equal keys are found by the readers, which know their path. With "silent", a second document would be ignored. */
const OPTIONS = { customTags: MATCHERS, prettyErrors: false, uniqueKeys: false, logLevel: "error" } as const
