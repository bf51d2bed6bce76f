import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { environmentNames } from "../../src/domain/config/Environment.ts"
import { IDLE_PREFIXES } from "../../src/domain/config/NotYet.ts"

describe("docs/configuration.md", () => {
  it("has a row for each variable that the code knows, and no other", () => {
    const rows = Array.from(readFileSync("docs/configuration.md", "utf8").matchAll(/^\| `([A-Z0-9_]+)(?:<\w+>)?` \|/gm))
    const documented = rows.map(([, name]) => name)
    // PROXY_CONFIG is a document, which the layer parses; ISTIO_META_ is read as a whole
    const known = [...environmentNames, ...IDLE_PREFIXES, "PROXY_CONFIG", "ISTIO_META_"]
    assert.deepStrictEqual(documented.toSorted(), known.toSorted())
  })
})
