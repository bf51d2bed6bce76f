/** The rules about who may import whom (docs/architecture.md), as a function from sources to what breaks them. */
import { posix } from "node:path"

/** Paths below `src`, with `/`, to their text. */
export type Sources = ReadonlyMap<string, string>

/** One line per broken rule: `path: what is wrong`. */
export const violations = (sources: Sources): ReadonlyArray<string> =>
  Array.from(sources).flatMap(([path, text]) => [
    ...importsOf(text).flatMap((imported) => wrongImport(path, imported)),
    ...wrongText(path, text)
  ])

interface Import {
  readonly specifier: string
  /** What stands between `import` and `from`; empty for a dynamic import. */
  readonly clause: string
}

const importsOf = (text: string): ReadonlyArray<Import> =>
  Array.from(
    text.matchAll(
      /^\s*(?:import|export)\b([^"'`;=]*?)\bfrom\s*"([^"]+)"|^\s*import\s*"([^"]+)"|\bimport\("([^"]+)"\)/gm
    ),
    ([, clause = "", from, bare, dynamic]) => ({ clause, specifier: from ?? bare ?? dynamic ?? "" })
  )

const folderOf = (path: string): string => path.split("/")[0]!

const wrongImport = (path: string, { specifier }: Import): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const from = folderOf(path)
  if (specifier.startsWith(".")) {
    const to = folderOf(posix.join(posix.dirname(path), specifier))
    // the release is said in one place
    const release = specifier === "../../package.json" && path === "programs/version.ts"
    if (!release && !(MAY_IMPORT[from] ?? []).includes(to)) wrong.push(`${from} must not import ${to} (${specifier})`)
  } else if (from === "domain" && !DOMAIN_LIBRARIES.some((library) => specifier.startsWith(library))) {
    wrong.push(`domain must not import ${specifier}`)
  }
  if (/^(?:effect|@effect\/[^/]+)(?:\/.*)?$/.test(specifier) && !/\/[A-Z]\w*$/.test(specifier)) {
    wrong.push(`import the module, not the barrel ${specifier}`)
  }
  return wrong.map((what) => `${path}: ${what}`)
}

const wrongText = (path: string, text: string): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  if (/(?:^|\/)index\.ts$/.test(path)) wrong.push("no barrels")
  if (/^\s*export\s+\*/m.test(text)) wrong.push("no barrels: export names, not *")
  if (/^\s*export\s+default\b|^\s*export\s*\{[^}]*\bas\s+default\b/m.test(text)) wrong.push("no default export")
  if (
    /\bprocess\s*(?:\?\.|\.)\s*env\b|\{[^{}]*\benv\b[^{}]*\}\s*=\s*process\b/.test(text) &&
    path !== ENVIRONMENT_READER
  ) {
    wrong.push(`only ${ENVIRONMENT_READER} reads the environment`)
  }
  if (path.startsWith("layers/") && !path.startsWith("layers/runtime/")) {
    for (const name of importedNames(text)) {
      if (new RegExp(`\\b${name}\\.layer`).test(text)) wrong.push(`only a runtime composes: not ${name}.layer`)
    }
  }
  return wrong.map((what) => `${path}: ${what}`)
}

/** The local names of what is imported from files of ours. */
const importedNames = (text: string): ReadonlyArray<string> =>
  importsOf(text)
    .filter(({ specifier }) => specifier.startsWith("."))
    .flatMap(({ clause }) => clause.split(/[{},]/))
    .map((name) => name.trim().split(/\s+/).at(-1) ?? "")
    .filter((name) => /^\w+$/.test(name))

const MAY_IMPORT: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: ["domain"],
  layers: ["layers", "domain"],
  programs: ["programs", "layers", "domain"]
}

/** These two only turn text and bytes into values: they are as pure as the rest of domain. */
const DOMAIN_LIBRARIES = ["effect/", "yaml", "@bufbuild/protobuf"]
const ENVIRONMENT_READER = "layers/ProxyConfig.ts"
