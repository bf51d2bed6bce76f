/**
 * ztunnel's mesh file (`LOCAL_XDS_PATH`, `LOCAL_XDS`; reference state §7) → `MeshResources`. YAML, so JSON too. All
 * problems of a file are reported at once, each with its place; those of endpoints once the rest is right.
 *
 * Stricter than ztunnel where ztunnel loses what was written: an empty document (a file that is being replaced looks
 * like one, and would turn the mesh off), two workloads of one uid, two services or policies of one key, and endpoints
 * that a service lists but cannot have.
 */
import * as Result from "effect/Result"
import { LineCounter, parseDocument, type Tags } from "yaml"
import { withEndpoints } from "./MeshFileEndpoints.ts"
import { MeshFileError, type MeshFileIssue } from "./MeshFileError.ts"
import { policy } from "./MeshFilePolicy.ts"
import { type ServiceEntry, serviceEntry } from "./MeshFileService.ts"
import { workload } from "./MeshFileWorkload.ts"
import type { Policy } from "./Policy.ts"
import { type Service, serviceKey } from "./Service.ts"
import type { Workload } from "./Workload.ts"
import { fail, isAbsent, issueAt, list, mapping, optional, type Read, root, type Source } from "./YamlReader.ts"

/** Everything that a mesh holds, at one moment. */
export interface MeshResources {
  readonly workloads: ReadonlyArray<Workload>
  readonly services: ReadonlyArray<Service>
  readonly policies: ReadonlyArray<Policy>
}

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
  return Result.flatMap(topLevel(place), ({ policies, services, workloads }) =>
    Result.map(withEndpoints(workloads, services), (workloads): MeshResources => ({
      workloads,
      services: services.map(({ service }) => service),
      policies
    }))
  )
}

interface TopLevel extends Omit<MeshResources, "services"> {
  readonly services: ReadonlyArray<ServiceEntry>
}

const topLevel: Read<TopLevel> = mapping<TopLevel>({
  workloads: optional(list(workload, { of: ({ uid }) => uid, name: "uid" }), []),
  services: optional(
    list(serviceEntry, { of: ({ service }) => serviceKey(service), name: "namespace and hostname" }),
    []
  ),
  policies: optional(list(policy, { of: ({ key }) => key, name: "namespace and name" }), [])
})

/** The string matchers of policies. With another kind of value they are unknown tags, and so an issue. */
const MATCHERS: Tags = [
  ...["!Exact", "!Prefix", "!Suffix", "!Presence"].map((tag) => ({ tag, resolve: (value: string) => value })),
  { tag: "!Presence", collection: "seq", resolve: (value) => value }
]

/** Equal keys are found by the readers, which know their path. With "silent", a second document would be ignored. */
const OPTIONS = { customTags: MATCHERS, prettyErrors: false, uniqueKeys: false, logLevel: "error" } as const
