/** The entry of a shard's thread: takes messages in order and serves what it is told to, until it is told to drain. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { parentPort, workerData } from "node:worker_threads"
import type { ProxySet } from "../domain/shard/Message.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { LineWriter } from "../layers/observe/LineWriter.ts"
import { Connections } from "../layers/runtime/Connections.ts"
import type { ShardStart } from "../layers/runtime/ShardContext.ts"
import { ShardLink } from "../layers/runtime/ShardLink.ts"
import { layerWorkerRuntime } from "../layers/runtime/WorkerRuntime.ts"
import { serve, type ServedSet } from "./listeners.ts"

const shard = Effect.gen(function* () {
  const certificates = yield* CertificateReplica
  const connections = yield* Connections
  const link = yield* ShardLink
  const mesh = yield* MeshReplica
  const writer = yield* LineWriter
  /** Closing it stops accepting; what was accepted lives on. */
  const accepting = yield* Scope.fork(yield* Effect.scope)
  const served: Array<ServedSet> = []

  const start = (set: ProxySet) =>
    serve(set, accepting).pipe(
      Effect.map((own) => {
        served.push(own)
        link.send({ _tag: "Serving", set: set.id, listeners: own.listeners })
      }),
      Effect.catchTag("ListenError", ({ detail }) =>
        Effect.sync(() => link.send({ _tag: "ServeFailed", set: set.id, detail }))
      )
    )

  const drain = (deadlineMs: number) =>
    Effect.gen(function* () {
      yield* Scope.close(accepting, Exit.void)
      link.send({ _tag: "Stopped" })
      const goneAway = yield* Effect.forkChild(
        Effect.forEach(served, ({ goAway }) => goAway, { concurrency: "unbounded", discard: true }),
        { startImmediately: true }
      )
      yield* connections.drain(deadlineMs)
      yield* Fiber.join(goneAway)
      writer.flush()
      link.send({ _tag: "Drained" })
    })

  while (true) {
    const message = yield* Queue.take(link.inbox)
    switch (message._tag) {
      case "Mesh":
        mesh.apply(message.resources)
        link.send({ _tag: "Applied", version: message.version })
        break
      case "Certificate":
        certificates.put(message.bundle)
        break
      case "CertificateUnavailable":
        certificates.fail(message.identity, message.detail)
        break
      case "Serve":
        yield* start(message.set)
        break
      case "Drain":
        // beside the loop: what is under way may still need a certificate
        yield* Effect.forkScoped(drain(message.deadlineMs), { startImmediately: true })
        break
    }
  }
})

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
