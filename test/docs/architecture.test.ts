import { globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

/** The files that the tree of docs/architecture.md names: a line with a folder, then an indented one for each file in it. */
const documented = (): ReadonlyArray<string> => {
  const [, tree = ""] = readFileSync("docs/architecture.md", "utf8").split(/^```(?:text)?\n/m)
  let folder = ""
  return tree.split("\n").flatMap((line) => {
    const [name = ""] = line.trim().split(/\s+/)
    if (name.endsWith("/")) folder = name
    return name.endsWith(".ts") ? [folder + name] : []
  })
}

describe("docs/architecture.md", () => {
  it("names every file of src, and no other", () => {
    const files = globSync("src/**/*.ts").map((path) => path.replaceAll("\\", "/"))
    assert.isAbove(files.length, 20)
    assert.deepStrictEqual(documented().toSorted(), files.toSorted())
  })
})
