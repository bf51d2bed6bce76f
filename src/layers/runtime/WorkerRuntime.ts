/**
 * The data plane's runtime: everything that one shard is made of, composed. One of the two places that put layers
 * together; the other is AdminRuntime. Nothing in here waits for the main thread on a connection's path (house rule 1).
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { MessagePort } from "node:worker_threads"
import { layoutOf } from "../../domain/shard/MetricLayout.ts"
import { CertificateReplica } from "../identity/CertificateReplica.ts"
import { MeshReplica } from "../mesh/MeshReplica.ts"
import { LineWriter } from "../observe/LineWriter.ts"
import { AccessLog, layerLogging, PolicyLog } from "../observe/Logging.ts"
import { ShardMetrics } from "../observe/Metrics.ts"
import { Dialer } from "../os/Dialer.ts"
import { InHand } from "../os/InHand.ts"
import { Listeners } from "../os/Listener.ts"
import { Native } from "../os/Native.ts"
import { layerPausedSweep } from "../os/PausedSweep.ts"
import { ReadinessServer } from "../serve/ReadinessServer.ts"
import { Connections } from "./Connections.ts"
import { Settings, type ShardStart } from "./ShardContext.ts"
import { ShardLink } from "./ShardLink.ts"

export const layerWorkerRuntime = (start: ShardStart, port: MessagePort) => {
  const { settings, shard, shards } = start
  const layout = layoutOf(start.memory, shards)
  const metrics = ShardMetrics.layer(layout, shard, shards)
  const lines = Layer.unwrap(
    ShardMetrics.use(({ add }) => Effect.succeed(LineWriter.layer((lines) => add("linesDropped", lines))))
  )
  return Layer.mergeAll(
    CertificateReplica.layer,
    Connections.layer,
    Dialer.layer(settings),
    Listeners.layer(shards),
    layerHeartbeat,
    layerPausedSweep,
    AccessLog.layer(settings.log),
    PolicyLog.layer(settings.log),
    ReadinessServer.layer(layout),
    MeshReplica.layer(settings.nodeName),
    Layer.succeed(Settings, settings)
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(InHand.layer(layout, shard), ShardLink.layer(port))),
    Layer.provideMerge(layerLogging(settings.log)),
    Layer.provideMerge(lines),
    Layer.provideMerge(Layer.mergeAll(metrics, start.portable ? Native.layerPortable : Native.layer))
  )
}

/** Tells the main thread ten times a second that the loop turns. */
const layerHeartbeat = Layer.effectDiscard(
  Effect.flatMap(ShardMetrics, ({ add }) =>
    Effect.forkScoped(
      Effect.forever(
        Effect.delay(
          Effect.sync(() => add("heartbeat", 1)),
          "100 millis"
        )
      )
    )
  )
)
