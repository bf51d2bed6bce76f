/**
 * The main thread's end of the shards: starts them, tells each what it needs to know, and replaces those that die (exit,
 * uncaught exception, heap limit). The listening sockets are the process's, so nothing is refused meanwhile.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Os from "node:os"
import { Worker } from "node:worker_threads"
import type { Spiffe } from "../../domain/Identity.ts"
import { IN_HAND } from "../../domain/shard/MetricLayout.ts"
import type {
  CertificateBundle,
  FromShard,
  ListenerSpec,
  ProxySet,
  Serve,
  ToShard
} from "../../domain/shard/Message.ts"
import { restartDelay } from "../../domain/shard/Restart.ts"
import { Certificates } from "../identity/Certificates.ts"
import { MeshStore } from "../mesh/MeshStore.ts"
import { logTarget } from "../observe/Logging.ts"
import { SharedMetrics } from "../observe/Metrics.ts"
import { Native } from "../os/Native.ts"
import { ServeError, Shard, type ShardEvent } from "./Shard.ts"
import { Settings, type ShardStart } from "./ShardContext.ts"

class ShardDied extends Data.TaggedError("ShardDied")<{ readonly detail: string }> {}

export class ShardPool extends Context.Service<
  ShardPool,
  {
    /** Done when every shard shows the mesh that the store shows now. */
    readonly applied: Effect.Effect<void>
    readonly pushCertificate: (bundle: CertificateBundle) => void
    /** Done when every shard listens; answers where the first one does. */
    readonly serve: (order: Serve) => Effect.Effect<ReadonlyArray<ListenerSpec>, ServeError>
    /** What is served, but for probes. */
    readonly sets: SubscriptionRef.SubscriptionRef<ReadonlyArray<ProxySet>>
    /** Stops accepting everywhere, lets connections finish, cuts the rest. Bounded. */
    readonly drain: (deadlineMs: number) => Effect.Effect<void>
    /** Ends a shard by force, as a crash would. For tests. */
    readonly terminate: (shard: number) => Effect.Effect<void>
  }
>()("weft/layers/runtime/ShardPool") {
  static readonly layer = (options: {
    /** The file that a shard's thread runs. */
    readonly entry: URL
    readonly shards: number
  }) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { entry, shards } = options
        const authority = yield* Certificates
        const metrics = yield* SharedMetrics
        const native = yield* Native
        const store = yield* MeshStore
        const settings = yield* Settings
        const run = yield* FiberSet.makeRuntime<never>()
        const pool = Array.from({ length: shards }, () => new Shard())
        const certificates = new Map<Spiffe, CertificateBundle>()
        const sets = yield* SubscriptionRef.make<ReadonlyArray<ProxySet>>([])
        /** In the order in which they were given. */
        const orders: Array<Serve> = []
        let draining = false

        const broadcast = (message: ToShard) => {
          for (const shard of pool) shard.tell(message)
        }
        store.follow(broadcast)
        const pushCertificate = (bundle: CertificateBundle) => {
          certificates.set(bundle.identity, bundle)
          broadcast({ _tag: "Certificate", bundle })
        }
        const fetchCertificate = (identity: Spiffe) =>
          Effect.match(authority.get(identity), {
            onSuccess: pushCertificate,
            onFailure: ({ detail }) => broadcast({ _tag: "CertificateUnavailable", identity, detail })
          })
        const onMessage = (shard: Shard, message: FromShard) => {
          switch (message._tag) {
            case "Applied":
              shard.applied = message.version
              return shard.settle("applied")
            case "Serving":
              shard.serving.set(message.set, Exit.succeed(message.listeners))
              return shard.settle("serving")
            case "ServeFailed": {
              const served = shard.serving.get(message.set)
              if (served !== undefined && Exit.isSuccess(served)) {
                // it did before it was replaced: another new life may find the port free
                return void run(shard.end(`it cannot listen: ${message.detail}`))
              }
              shard.serving.set(message.set, Exit.fail(new ServeError({ detail: message.detail })))
              return shard.settle("serving")
            }
            case "NeedCertificate":
              // the authority remembers, and knows what has expired
              return void run(fetchCertificate(message.identity))
            case "Stopped":
              shard.stopped = true
              return shard.settle("stopped")
            case "Drained":
              shard.drained = true
              return shard.settle("drained")
          }
        }

        /** One life of a shard: fails when it dies. */
        const live = (index: number, shard: Shard) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              const start: ShardStart = {
                shard: index,
                shards,
                settings,
                memory: metrics.memory,
                portable: native.linux === undefined
              }
              const worker = new Worker(entry, {
                name: `weft-${index}`,
                workerData: start,
                resourceLimits: heapLimit(shards)
              })
              shard.worker = worker
              // before anything else: it serves with the whole mesh, or not at all
              const mesh = store.log()
              if (mesh !== undefined) shard.tell(mesh)
              for (const bundle of certificates.values()) shard.tell({ _tag: "Certificate", bundle })
              for (const order of orders) shard.tell(order)
              return worker
            }),
            (worker) =>
              Effect.callback<never, ShardDied>((resume) => {
                let detail: string | undefined
                worker.on("message", (message: FromShard) => onMessage(shard, message))
                worker.on("error", (error) => {
                  detail = error instanceof Error ? error.message : String(error)
                })
                worker.on("exit", (code) => {
                  const why = shard.endedFor ?? detail ?? `it exited with code ${code}`
                  shard.endedFor = undefined
                  resume(Effect.fail(new ShardDied({ detail: why })))
                })
              }),
            (worker) =>
              Effect.promise(async () => {
                shard.worker = undefined
                await worker.terminate()
                closeInHand(index)
                metrics.retire(index)
              })
          )

        /** Descriptors that the shard had made and not yet given to Node. */
        const closeInHand = (index: number) => {
          const slots = metrics.layout.inHand.subarray(index * IN_HAND, (index + 1) * IN_HAND)
          for (const [slot, fd] of slots.entries()) {
            if (fd === 0) continue
            slots[slot] = 0
            native.linux?.close(fd)
          }
        }

        const stopListening = () => {
          for (const { fd } of orders.flatMap(({ set }): ReadonlyArray<ListenerSpec> => set.listeners)) {
            if (fd !== undefined) native.linux?.stopListening(fd)
          }
        }

        const supervise = Effect.fnUntraced(function* (index: number, shard: Shard) {
          let failures = 0
          while (true) {
            const started = performance.now()
            const { detail } = yield* Effect.flip(live(index, shard))
            shard.stopped = shard.drained = true
            shard.settle("stopped")
            shard.settle("drained")
            if (draining) return
            const lived = performance.now() - started
            failures = lived > STABLE_MS ? 0 : failures + 1
            const delay = restartDelay(failures)
            yield* Effect.logError("a shard died; its connections ended, the others go on", {
              shard: index,
              cause: detail,
              lived: `${Math.round(lived)}ms`,
              restart: `in ${delay}ms`
            }).pipe(logTarget("shard_pool"))
            yield* Effect.sleep(delay)
            if (draining) return
            shard.stopped = shard.drained = false
          }
        })
        for (const [index, shard] of pool.entries())
          yield* Effect.forkScoped(supervise(index, shard), { startImmediately: true })

        const all = <A>(event: ShardEvent, ask: (shard: Shard) => A | undefined): Effect.Effect<ReadonlyArray<A>> =>
          Effect.forEach(pool, (shard) => shard.waitFor(event, () => ask(shard)), { concurrency: "unbounded" })

        return ShardPool.of({
          applied: Effect.suspend(() => {
            const version = SubscriptionRef.getUnsafe(store.version)
            return all("applied", ({ applied }) => (applied >= version ? true : undefined))
          }),
          pushCertificate,
          serve: Effect.fnUntraced(function* (order) {
            const { _tag, set } = order
            if (_tag === "Serve") yield* SubscriptionRef.update(sets, (others) => [...others, set])
            orders.push(order)
            broadcast(order)
            const answers = yield* all("serving", ({ serving }) => serving.get(set.id))
            return yield* answers.find(Exit.isFailure) ?? answers[0] ?? Exit.succeed([])
          }),
          sets,
          drain: (deadlineMs) =>
            Effect.suspend(() => {
              draining = true
              broadcast({ _tag: "Drain", deadlineMs })
              // the kernel accepts for as long as the process has the sockets, and who it let in would wait for ever
              const stopped = Effect.tap(
                all("stopped", ({ stopped }) => (stopped ? true : undefined)),
                () => Effect.sync(stopListening)
              )
              const drained = all("drained", ({ drained }) => (drained ? true : undefined))
              return Effect.timeoutOption(Effect.andThen(stopped, drained), deadlineMs + DRAIN_GRACE_MS)
            }),
          terminate: (index) => Effect.suspend(() => pool[index]?.end("it was terminated") ?? Effect.void)
        })
      })
    )
}

/** A shard may use its part of what there is; past that it alone dies. V8 wants no more than 4 GiB. MiB. */
const heapLimit = (shards: number) => {
  const share = (process.constrainedMemory() || Os.totalmem()) / shards / 2 ** 20
  return {
    maxYoungGenerationSizeMb: YOUNG_MB,
    maxOldGenerationSizeMb: Math.min(4096, Math.max(256, Math.floor(share)))
  }
}

/**
 * Room for new objects. V8's default lets a shard grow by 20 MiB before it looks for what is dead; measured with 2 000
 * idle connections, this little costs no time and leaves 12 KB of resident memory per connection instead of 23.
 */
const YOUNG_MB = 8

/** A shard that lived this long is not in a crash loop. */
const STABLE_MS = 30_000
/** What a shard may take beyond the deadline to cut what is left. */
const DRAIN_GRACE_MS = 2_000
