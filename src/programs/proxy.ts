/** `weft proxy`: from the configuration to the last connection's end. */
import * as Effect from "effect/Effect"
import type { ProxySettings } from "../domain/config/ProxySettings.ts"
import { ProxyConfig } from "../layers/ProxyConfig.ts"
import { logTarget } from "../layers/observe/Logging.ts"
import { Native } from "../layers/os/Native.ts"
import { AdminRuntime } from "../layers/runtime/AdminRuntime.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { dedicated } from "./dedicated.ts"
import { untilShutdown } from "./shutdown.ts"
import { VERSION } from "./version.ts"

export const SHARD_ENTRY = new URL("./worker.ts", import.meta.url)

export const proxy = Effect.gen(function* () {
  const settings = yield* ProxyConfig
  yield* Effect.andThen(announce, Effect.andThen(dedicated(settings), untilShutdown)).pipe(
    Effect.scoped,
    Effect.provide(AdminRuntime.layer(settings, SHARD_ENTRY))
  )
}).pipe(Effect.provide(ProxyConfig.layer))

/** What operators look for first (reference ops §5.6). */
export const announce = Effect.gen(function* () {
  const settings = yield* Settings
  yield* Effect.logInfo(`version: ${VERSION}`)
  yield* raiseDescriptorLimit
  yield* Effect.logInfo(`running with config: ${JSON.stringify(shown(settings))}`)
  for (const note of settings.notes) yield* Effect.logWarning(note)
  yield* Effect.logInfo("proxy mode enabled", { threads: settings.workerThreads })
}).pipe(logTarget("app"))

/** The text of an inline mesh has no end, and a log line has. */
const shown = ({ meshFile, ...settings }: ProxySettings) => ({
  ...settings,
  meshFile: meshFile?._tag === "Inline" ? "LOCAL_XDS" : meshFile?.path
})

export const raiseDescriptorLimit = Effect.flatMap(Native, ({ linux }) =>
  linux === undefined
    ? Effect.void
    : Effect.try({ try: () => linux.raiseDescriptorLimit(), catch: String }).pipe(
        Effect.flatMap(({ from, to }) => Effect.logInfo(`set file descriptor limits from ${from} to ${to}`)),
        Effect.catch((error) => Effect.logWarning(`the limit of open descriptors cannot be raised: ${error}`))
      )
).pipe(logTarget("app"))
