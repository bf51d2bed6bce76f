/** `weft explain` as it is typed. */
import { readFileSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnWeft, tempDir } from "../support/WeftProcess.ts"

const run = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const weft = yield* spawnWeft([], ["explain", ...args], {})
  const code = yield* Effect.promise(() => weft.exited)
  return { code, stdout: weft.lines.join("\n"), stderr: weft.stderr() }
})

const golden = (name: string) => readFileSync(`test/domain/decide/explain/${name}`, "utf8").trimEnd()
const EXAMPLE = ["--mesh", "examples/explain.yaml"]

describe("weft explain", () => {
  it.live("answers in text, and with 0 when the connection is carried", () =>
    Effect.gen(function* () {
      const name = "pay.shop.svc.cluster.local:443"
      const { code, stderr, stdout } = yield* run(...EXAMPLE, "--from", "shop/web-0", "--to", name)
      assert.strictEqual(stdout, golden("allowed.txt"))
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("answers with 1, and nothing on standard error, when it is not", () =>
    Effect.gen(function* () {
      const [denied, unhealthy] = yield* Effect.all([
        run(...EXAMPLE, "--from", "shop/batch-0", "--to", "pay:443"),
        run(...EXAMPLE, "--from", "shop/web-0", "--to", "stock:80")
      ])
      assert.deepStrictEqual(denied, { code: 1, stdout: golden("denied-none-allows.txt"), stderr: "" })
      assert.deepStrictEqual(unhealthy, { code: 1, stdout: golden("no-healthy-endpoint.txt"), stderr: "" })
    }).pipe(Effect.scoped)
  )

  it.live("answers in JSON, with the same exit code", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(...EXAMPLE, "--from", "shop/batch-0", "--to", "pay:443", "--json")
      assert.deepStrictEqual(JSON.parse(stdout), JSON.parse(golden("denied-none-allows-json.txt")))
      assert.strictEqual(code, 1)
    }).pipe(Effect.scoped)
  )

  it.live("answers with 2, and says where, when the question cannot be answered", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* tempDir, "mesh.yaml")
      writeFileSync(path, readFileSync("examples/explain.yaml", "utf8").replace("protocol: HBONE", "protocol: HBNOE"))
      const [bad, absent, source, target, missing] = yield* Effect.all([
        run("--mesh", path, "--from", "shop/web-0", "--to", "pay:443"),
        run("--mesh", `${path}.not`, "--from", "shop/web-0", "--to", "pay:443"),
        run(...EXAMPLE, "--from", "shop/wbe-0", "--to", "pay:443"),
        run(...EXAMPLE, "--from", "shop/web-0", "--to", "pay"),
        run(...EXAMPLE, "--from", "shop/web-0")
      ])
      assert.match(bad.stderr, /mesh\.yaml:9:\d+: workloads\[0\]\.protocol: .*HBNOE/)
      assert.match(absent.stderr, /^Error: the mesh file .*\.not cannot be read: ENOENT/)
      assert.match(source.stderr, /^Error: the mesh has no workload "shop\/wbe-0"; did you mean shop\/web-0/)
      assert.match(target.stderr, /^Error: "pay" is not .* host:port/)
      assert.include(missing.stderr, "--to")
      const all = [bad, absent, source, target, missing]
      assert.deepStrictEqual(
        all.map(({ code }) => code),
        [2, 2, 2, 2, 2]
      )
      assert.deepStrictEqual(
        all.slice(0, 4).map(({ stdout }) => stdout),
        ["", "", "", ""]
      )
    }).pipe(Effect.scoped)
  )

  it.live("has a help with an example", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run("--help")
      assert.include(stdout, "weft explain --mesh examples/explain.yaml")
      assert.strictEqual(code, 0)
    }).pipe(Effect.scoped)
  )
})
