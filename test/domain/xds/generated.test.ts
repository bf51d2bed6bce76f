import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import packageJson from "../../../package.json" with { type: "json" }
import { isMissing, start } from "../../support/commands.ts"

const GENERATED = "src/domain/xds/gen"

const filesOf = (folder: string) =>
  Object.fromEntries(Fs.readdirSync(folder).map((name) => [name, Fs.readFileSync(Path.join(folder, name), "utf8")]))

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "weft-generated-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

describe("the generated messages", () => {
  it.live.skipIf(isMissing("protoc"))("are what proto/ says (needs protoc)", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const command = packageJson.scripts.generate.replace(GENERATED, folder)
      assert.include(command, folder)
      const { ended } = yield* start("/bin/sh", ["-c", command])
      const { code, stderr } = yield* Effect.promise(() => ended)
      assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
      assert.deepStrictEqual(filesOf(folder), filesOf(GENERATED))
    })
  )
})
