/** What the documents point at exists: files, headings, and the paths that they mention. */
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { assert, describe, it } from "@effect/vitest"

const documents = globSync(["*.md", "docs/**/*.md"]).toSorted()

/** Without the blocks of code, where brackets are not links. */
const proseOf = (path: string): string => readFileSync(path, "utf8").replaceAll(/^```[\s\S]*?^```/gm, "")

/** As GitHub makes it of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, "")
    .replaceAll(" ", "-")

const anchorsOf = (path: string): ReadonlyArray<string> =>
  Array.from(proseOf(path).matchAll(/^#+ (.+)$/gm), ([, heading = ""]) => anchorOf(heading))

const broken = (document: string): ReadonlyArray<string> => {
  const prose = proseOf(document)
  const links = Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target)
  const wrongLinks = links.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false
    const [path = "", anchor] = target.split("#", 2)
    const file = path === "" ? document : join(dirname(document), path)
    if (!existsSync(file)) return true
    return anchor !== undefined && !anchorsOf(file).includes(anchor)
  })
  const paths = Array.from(prose.matchAll(/`((?:src|test|docs|bin)\/[\w./-]*)`/g), ([, path = ""]) => path)
  return [...wrongLinks, ...paths.filter((path) => !existsSync(normalize(path)))]
}

describe("the documents", () => {
  it("are there", () => assert.isAbove(documents.length, 10))

  it.each(documents)("%s points only at what exists", (document) => {
    assert.deepStrictEqual(broken(document), [])
  })

  it("are all reachable from README.md and docs/index.md", () => {
    const seen = new Set<string>()
    const visit = (document: string): void => {
      if (seen.has(document)) return
      seen.add(document)
      for (const [, target = ""] of proseOf(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        const path = normalize(join(dirname(document), target)).replaceAll("\\", "/")
        if (!/^[a-z]+:/.test(target) && path.endsWith(".md")) visit(path)
        if (path === "docs/decisions/") for (const each of globSync("docs/decisions/*.md")) visit(each)
      }
    }
    visit("README.md")
    assert.deepStrictEqual(
      documents.filter((document) => !seen.has(document)),
      []
    )
  })
})
