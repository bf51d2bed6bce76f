/**
 * The configuration of this process, and the only reader of the environment. Reads the variables, `PROXY_CONFIG` and the
 * mesh config file (reference ops §2.1); what they mean is decided by domain/config. Fails with everything that is wrong.
 */
import { readFile } from "node:fs/promises"
import { availableParallelism, platform } from "node:os"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { parseDocument } from "yaml"
import { ConfigErrors, type ConfigIssue } from "../domain/config/ConfigErrors.ts"
import { configure } from "../domain/config/ConfigSchema.ts"
import type { Variables } from "../domain/config/Environment.ts"
import type { ProxySettings } from "../domain/config/ProxySettings.ts"

export class ProxyConfig extends Context.Service<ProxyConfig, ProxySettings>()("weft/layers/ProxyConfig") {
  /** The mesh config file is looked for under `cwd`. */
  static readonly layerFrom = (
    variables: Variables,
    cwd: string,
    cpuCount: number = availableParallelism()
  ): Layer.Layer<ProxyConfig, ConfigErrors> => Layer.effect(this, load(variables, cwd, cpuCount))

  static readonly layer = Layer.unwrap(Effect.sync(() => this.layerFrom(process.env, process.cwd())))

  /** For a program that brings its own answers: `fixed` wins over the environment, which wins over `defaults`. */
  static readonly layerWith = (fixed: Variables, defaults: Variables) =>
    Layer.unwrap(Effect.sync(() => this.layerFrom({ ...defaults, ...process.env, ...fixed }, process.cwd())))
}

/** A document that could not be read counts as missing, so that the rest is checked too. */
const load = Effect.fnUntraced(function* (variables: Variables, cwd: string, cpuCount: number) {
  const issues: Array<ConfigIssue> = []
  const orReport = Effect.catch((issue: ConfigIssue) => Effect.sync(() => void issues.push(issue)))
  const meshConfig: unknown = yield* readMeshConfig(cwd).pipe(orReport)
  const proxyConfig: unknown = yield* parseYaml(
    variables["PROXY_CONFIG"] ?? "",
    "PROXY_CONFIG",
    "failed parsing proxy config env"
  ).pipe(orReport)
  const configured = configure({ variables, meshConfig, proxyConfig, cpuCount })
  if (Result.isFailure(configured)) issues.push(...configured.failure.issues)
  if (Result.isFailure(configured) || issues.length > 0) return yield* new ConfigErrors({ issues })
  return platform() === "linux" ? configured.success : portable(configured.success)
})

/** Without the kernel's help there is no listening socket that several shards share. */
const portable = (settings: ProxySettings): ProxySettings => ({
  ...settings,
  workerThreads: 1,
  notes: [...settings.notes, "this system is not Linux: one shard, and no redirected connections; SOCKS5 works"]
})

/** `undefined` where there is no such file. */
const readMeshConfig = (cwd: string): Effect.Effect<unknown, ConfigIssue> =>
  Effect.tryPromise({ try: () => readFile(join(cwd, MESH_CONFIG), "utf8"), catch: (cause) => cause }).pipe(
    Effect.matchEffect({
      onSuccess: (text) => parseYaml(text, MESH_CONFIG, "failed parsing mesh config file"),
      onFailure: (cause) =>
        isMissing(cause)
          ? Effect.undefined
          : Effect.fail({ name: MESH_CONFIG, given: undefined, problem: `cannot be read: ${String(cause)}` })
    })
  )

const parseYaml = (text: string, name: string, failed: string): Effect.Effect<unknown, ConfigIssue> =>
  Effect.suspend(() => {
    const document = parseDocument(text)
    const [error] = document.errors
    return error === undefined
      ? Effect.succeed(document.toJS())
      : Effect.fail({ name, given: undefined, problem: `${failed}: ${error.message}` })
  })

const isMissing = (cause: unknown): boolean => cause instanceof Error && "code" in cause && cause.code === "ENOENT"

const MESH_CONFIG = "etc/istio/config/mesh"
