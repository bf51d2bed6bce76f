import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Variables } from "../../src/domain/config/Environment.ts"
import { ProxyConfig } from "../../src/layers/ProxyConfig.ts"

const ENOUGH = { PROXY_MODE: "dedicated", PROXY_WORKLOAD_INFO: "ns/pod/sa", LOCAL_XDS: "workloads: []" }

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "weft-config-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

/** A folder with a mesh config file in it. */
const folderWith = (meshConfig: string) =>
  Effect.tap(folder, (cwd) =>
    Effect.promise(async () => {
      await mkdir(join(cwd, "etc/istio/config"), { recursive: true })
      await writeFile(join(cwd, "etc/istio/config/mesh"), meshConfig)
    })
  )

const load = (variables: Variables, cwd: string) =>
  ProxyConfig.pipe(Effect.provide(ProxyConfig.layerFrom({ ...ENOUGH, ...variables }, cwd)))

describe("ProxyConfig", () => {
  it.effect("needs no file", () =>
    Effect.gen(function* () {
      const settings = yield* load({ NETWORK: "east", ZTUNNEL_WORKER_THREADS: "0" }, yield* folder)
      assert.strictEqual(settings.network, "east")
      assert.strictEqual(settings.workerThreads, availableParallelism())
    })
  )

  it.effect("reads the mesh config file, which PROXY_CONFIG (YAML or JSON) overrides", () =>
    Effect.gen(function* () {
      const cwd = yield* folderWith("defaultConfig:\n  concurrency: 3\nrootNamespace: istio-system\n")
      assert.strictEqual((yield* load({}, cwd)).workerThreads, 3)
      assert.strictEqual((yield* load({ PROXY_CONFIG: "" }, cwd)).workerThreads, 3)
      assert.strictEqual((yield* load({ PROXY_CONFIG: "concurrency: 4\n" }, cwd)).workerThreads, 4)
      assert.strictEqual((yield* load({ PROXY_CONFIG: '{"concurrency": 5}' }, cwd)).workerThreads, 5)
    })
  )

  it.effect("fails with everything that is wrong, in the files and in the variables, a line each", () =>
    Effect.gen(function* () {
      const cwd = yield* folderWith("defaultConfig: {concurrency: 3")
      const error = yield* Effect.flip(load({ PROXY_CONFIG: "a: [", KEEPALIVE_TIME: "soon" }, cwd))
      assert.strictEqual(error._tag, "ConfigErrors")
      assert.deepStrictEqual(
        error.issues.map(({ name }) => name),
        ["etc/istio/config/mesh", "PROXY_CONFIG", "KEEPALIVE_TIME"]
      )
      assert.include(error.message, "etc/istio/config/mesh: failed parsing mesh config file: ")
      assert.include(error.message, "PROXY_CONFIG: failed parsing proxy config env: ")
    })
  )

  it.effect("says that a mesh config cannot be read", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      yield* Effect.promise(() => mkdir(join(cwd, "etc/istio/config/mesh"), { recursive: true }))
      const error = yield* Effect.flip(load({}, cwd))
      assert.include(error.message, "etc/istio/config/mesh: cannot be read: ")
    })
  )
})
