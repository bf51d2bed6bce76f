import { globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { violations } from "./support/architecture.ts"

describe("the architecture", () => {
  it("programs → layers → domain, and the rest of docs/architecture.md's import rules", () => {
    const paths = globSync("**/*.ts", { cwd: "src" })
    assert.isAbove(paths.length, 20)
    const sources = new Map(paths.map((path) => [path.replaceAll("\\", "/"), readFileSync(`src/${path}`, "utf8")]))
    assert.deepStrictEqual(violations(sources), [])
  })

  it.each([
    ["domain/A.ts", 'import { X } from "../layers/X.ts"', "domain must not import layers"],
    ["domain/A.ts", 'import {\n  a,\n  type B\n} from "../layers/X.ts"', "domain must not import layers"],
    ["domain/A.ts", 'import { readFile } from "node:fs"', "domain must not import node:fs"],
    ["domain/A.ts", 'const fs = await import("node:fs")', "domain must not import node:fs"],
    ["domain/A.ts", 'import "koffi"', "domain must not import koffi"],
    ["domain/A.ts", 'export { a } from "../programs/a.ts"', "domain must not import programs"],
    ["layers/a/A.ts", 'import type { a } from "../../programs/a.ts"', "layers must not import programs"],
    ["layers/A.ts", 'import { X } from "./X.ts"\nX.layer', "only a runtime composes"],
    ["layers/A.ts", 'import { type Y, X as Z } from "./X.ts"\nZ.layerNoDeps', "only a runtime composes"],
    ["layers/A.ts", 'import { Effect } from "effect"', "not the barrel"],
    ["layers/A.ts", 'import * as http from "effect/http"', "not the barrel"],
    ["layers/A.ts", 'import { NodeRuntime } from "@effect/platform-node"', "not the barrel"],
    ["layers/index.ts", "", "no barrels"],
    ["layers/A.ts", 'export * from "./B.ts"', "no barrels"],
    ["layers/A.ts", "export default 1", "no default export"],
    ["layers/A.ts", 'process.env["A"]', "reads the environment"],
    ["programs/main.ts", "const { env } = process", "reads the environment"]
  ])("would see %s with %j", (path, text, wrong) => {
    const found = violations(new Map([[path, text]]))
    assert.lengthOf(found, 1)
    assert.include(found[0], wrong)
  })

  it.each([
    ["programs/main.ts", 'import { X } from "../layers/X.ts"\nimport { a } from "./a.ts"\nX.layer'],
    ["layers/runtime/AdminRuntime.ts", 'import { X } from "../X.ts"\nX.layer'],
    ["layers/A.ts", 'import * as Logger from "effect/Logger"\nLogger.layer([])'],
    ["layers/A.ts", 'import * as S from "effect/http/HttpRouter"\nimport * as N from "@effect/platform-node/NodeSink"'],
    ["layers/A.ts", 'new URL("../programs/worker.ts", import.meta.url)'],
    ["layers/ProxyConfig.ts", "process.env"],
    ["domain/A.ts", 'import * as Option from "effect/Option"\nimport { a } from "./B.ts"']
  ])("sees nothing wrong in %s with %j", (path, text) => {
    assert.deepStrictEqual(violations(new Map([[path, text]])), [])
  })
})
