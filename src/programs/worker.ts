/** The entry of a shard's thread. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { parentPort, workerData } from "node:worker_threads"
import type { ShardStart } from "../layers/runtime/ShardContext.ts"
import { layerWorkerRuntime } from "../layers/runtime/WorkerRuntime.ts"
import { shard } from "./shard.ts"

// `workerData` is what AdminRuntime's ShardPool gave: a ShardStart
const port = parentPort
if (port === null) throw new Error("worker.ts runs as a worker thread of weft, not by itself")
NodeRuntime.runMain(
  Effect.scoped(shard).pipe(
    Effect.tapCause((cause) => Effect.logError("the shard failed", cause)),
    Effect.provide(layerWorkerRuntime(workerData as ShardStart, port))
  ),
  { disableErrorReporting: true }
)
