/**
 * The admin runtime: everything that the main thread is made of, composed, and the fibers that keep it going. It may be
 * slow, and it may be blocked: no connection waits for it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { MeshFile, ProxySettings } from "../../domain/config/ProxySettings.ts"
import { slotIndex } from "../../domain/shard/MetricLayout.ts"
import { Certificates } from "../identity/Certificates.ts"
import { layerEmbeddedCa } from "../identity/EmbeddedCa.ts"
import { Issuer } from "../identity/Issuer.ts"
import { MeshFileSource } from "../mesh/MeshFileSource.ts"
import { makeMeshGaps } from "../mesh/MeshGaps.ts"
import { MeshStore } from "../mesh/MeshStore.ts"
import { LineWriter } from "../observe/LineWriter.ts"
import { layerLogging, logTarget } from "../observe/Logging.ts"
import { SharedMetrics } from "../observe/Metrics.ts"
import { Native } from "../os/Native.ts"
import { SocketFactory } from "../os/SocketFactory.ts"
import { Readiness } from "./Readiness.ts"
import { Settings } from "./ShardContext.ts"
import { ShardPool } from "./ShardPool.ts"

export class AdminRuntime extends Context.Service<
  AdminRuntime,
  {
    /** Keeps `task` running under a name until the scope of the runtime closes: one that ends or fails is started again. */
    readonly supervise: (name: string, task: Effect.Effect<void, unknown>) => Effect.Effect<void>
  }
>()("weft/layers/runtime/AdminRuntime") {
  static readonly layerNoDeps = Layer.effect(
    this,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      return AdminRuntime.of({
        supervise: (name, task) =>
          task.pipe(
            Effect.andThen(Effect.die("it ended")),
            Effect.tapCause((cause) =>
              Effect.logError(`admin task failed, starting it again: ${name}`, cause).pipe(logTarget("admin_runtime"))
            ),
            Effect.sandbox,
            Effect.retry(backoff),
            Effect.ignore,
            Effect.forkIn(scope),
            Effect.asVoid
          )
      })
    })
  )

  /** `entry` is the file that each shard's thread runs; only programs know it. */
  static readonly layer = (settings: ProxySettings, entry: URL, native: Layer.Layer<Native> = Native.layer) =>
    layerTasks.pipe(
      Layer.provideMerge(this.layerNoDeps),
      Layer.provideMerge(ShardPool.layer({ entry, shards: settings.workerThreads })),
      Layer.provideMerge(Layer.mergeAll(SocketFactory.layer, Readiness.layer, Certificates.layer)),
      Layer.provideMerge(
        Layer.mergeAll(
          layerIssuer(settings),
          MeshFileSource.layerFrom(settings.meshFile ?? NO_MESH_FILE),
          MeshStore.layer(settings.nodeName)
        )
      ),
      Layer.provideMerge(layerLogging(settings.log)),
      Layer.provideMerge(layerLines(settings.workerThreads)),
      Layer.provideMerge(
        Layer.mergeAll(SharedMetrics.layer(settings.workerThreads), native, Layer.succeed(Settings, settings))
      )
    )
}

/** What goes on for as long as the process lives: state and certificates to the shards. */
const layerTasks = Layer.effectDiscard(
  Effect.gen(function* () {
    const admin = yield* AdminRuntime
    const certificates = yield* Certificates
    const pool = yield* ShardPool
    const readiness = yield* Readiness
    const source = yield* MeshFileSource
    // before anyone can ask for listeners: a shard serves with a mesh, or not at all
    yield* takeFile(source)
    yield* Effect.forkScoped(Effect.andThen(pool.applied, readiness.complete("state manager")))
    const context = yield* Effect.context<MeshStore | Settings | SharedMetrics | ShardPool>()
    yield* admin.supervise("shard heartbeats", Effect.provideContext(watchHeartbeats, context))
    yield* admin.supervise(
      "certificates to shards",
      Stream.runForEach(certificates.rotations, (bundle) => Effect.sync(() => pool.pushCertificate(bundle)))
    )
    yield* admin.supervise("mesh file to shards", Effect.provideContext(Effect.forever(takeFile(source)), context))
    yield* admin.supervise("gaps of the mesh", Effect.provideContext(watchGaps, context))
  })
)

/** The next state of the mesh file, for all to see. */
const takeFile = Effect.fnUntraced(function* ({ changes }: MeshFileSource["Service"]) {
  const store = yield* MeshStore
  const rejections = yield* store.apply(yield* Queue.take(changes))
  // what a file says was read strictly before it was encoded
  for (const { name, reason } of rejections) {
    yield* Effect.logError("a resource of the mesh file is not taken: this is a bug of weft", { name, reason }).pipe(
      logTarget("admin_runtime")
    )
  }
})

const watchGaps = Effect.gen(function* () {
  const metrics = yield* SharedMetrics
  const { sets } = yield* ShardPool
  const { nodeName } = yield* Settings
  const { current, version } = yield* MeshStore
  const tellGaps = makeMeshGaps({
    mesh: current,
    workloads: () => SubscriptionRef.getUnsafe(sets).map(({ workload }) => workload),
    nodeName,
    onMissingPolicies: (count) => metrics.set("policiesMissing", count)
  })
  const changes = Stream.merge(SubscriptionRef.changes(version), SubscriptionRef.changes(sets))
  yield* Stream.runForEach(changes, () => tellGaps)
})

/** A shard whose loop stands still serves nobody; the others do. Compared by counts, so a blocked main thread is no alarm. */
const watchHeartbeats = Effect.gen(function* () {
  const { ofShard } = yield* SharedMetrics
  const { workerThreads } = yield* Settings
  const seen = Array.from({ length: workerThreads }, () => -1)
  while (true) {
    yield* Effect.sleep(HEARTBEAT_EVERY)
    for (const shard of seen.keys()) {
      const beats = ofShard(shard, "heartbeat")
      if (beats === seen[shard]) {
        yield* Effect.logWarning("a shard's event loop stands still", { shard, for: HEARTBEAT_EVERY }).pipe(
          logTarget("admin_runtime")
        )
      }
      seen[shard] = beats
    }
  }
})

/** The configuration allows no other yet; certificates must never come from another issuer than the one that was asked for. */
const layerIssuer = ({ issuer, secretTtlMs, trustDomain }: ProxySettings) =>
  issuer._tag === "Embedded"
    ? layerEmbeddedCa({ root: issuer.root, secretTtlMs, trustDomain })
    : Layer.effect(Issuer, Effect.die(new Error(`certificates cannot come from ${issuer._tag} yet`)))

/** Nobody is asked for the mesh: it is empty. */
const NO_MESH_FILE: MeshFile = { _tag: "Inline", text: "workloads: []" }

const HEARTBEAT_EVERY = "5 seconds"

/** The retired block is the main thread's own to write. */
const layerLines = (shards: number) =>
  Layer.unwrap(
    SharedMetrics.use(({ layout: { blocks } }) => {
      const slot = slotIndex(shards, "linesDropped")
      return Effect.succeed(
        LineWriter.layer((lines) => {
          blocks[slot] = blocks[slot]! + lines
        })
      )
    })
  )

const backoff = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")])
