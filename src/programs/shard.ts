/** A shard's life: it takes messages in order and serves what it is told to, until it is told to drain. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import type { ListenerSpec, MeshPush, ProxySet } from "../domain/shard/Message.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { LineWriter } from "../layers/observe/LineWriter.ts"
import type { ListenError } from "../layers/os/Listener.ts"
import { Connections } from "../layers/runtime/Connections.ts"
import { ShardLink } from "../layers/runtime/ShardLink.ts"
import { serve, type ServedSet } from "./listeners.ts"
import { serveProbes } from "./probes.ts"

export const shard = Effect.gen(function* () {
  const certificates = yield* CertificateReplica
  const connections = yield* Connections
  const link = yield* ShardLink
  const mesh = yield* MeshReplica
  const writer = yield* LineWriter
  const pushes = yield* Queue.unbounded<MeshPush>()
  const hasMesh = yield* Deferred.make<void>()
  const broken = yield* Deferred.make<never>()
  /** Closing it stops accepting; what was accepted lives on. */
  const accepting = yield* Scope.fork(yield* Effect.scope)
  const served: Array<ServedSet> = []

  const answering = <R>(set: number, listening: Effect.Effect<ReadonlyArray<ListenerSpec>, ListenError, R>) =>
    Effect.match(listening, {
      onSuccess: (listeners) => link.send({ _tag: "Serving", set, listeners }),
      onFailure: ({ detail }) => link.send({ _tag: "ServeFailed", set, detail })
    })
  const start = (set: ProxySet) =>
    Deferred.await(hasMesh).pipe(
      Effect.andThen(serve(set, accepting)),
      Effect.map((own) => {
        served.push(own)
        return own.listeners
      })
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

  /** Beside the loop of messages. */
  const besides = <R>(task: Effect.Effect<void, never, R>) =>
    task.pipe(
      Effect.tapCause((cause) => Deferred.failCause(broken, cause)),
      Effect.forkScoped({ startImmediately: true })
    )

  const takeMessage = Effect.gen(function* () {
    const message = yield* Queue.take(link.inbox)
    switch (message._tag) {
      case "Mesh":
        yield* Queue.offer(pushes, message)
        break
      case "Certificate":
        certificates.put(message.bundle)
        break
      case "CertificateUnavailable":
        certificates.fail(message.identity, message.detail)
        break
      case "Serve":
        // it waits for the mesh, and others do not
        yield* besides(answering(message.set.id, start(message.set)))
        break
      case "ServeProbes":
        yield* answering(message.set.id, serveProbes(message.set, accepting))
        break
      case "Drain":
        // what is under way may still need a certificate
        yield* besides(drain(message.deadlineMs))
        break
    }
  })

  /** In slices, beside all else. What has come meanwhile is applied in one go. */
  const takePushes = Effect.gen(function* () {
    const waiting = yield* Queue.takeAll(pushes)
    yield* mesh.apply(waiting.flatMap(({ batches }) => batches))
    link.send({ _tag: "Applied", version: waiting[waiting.length - 1]!.version })
    Deferred.doneUnsafe(hasMesh, Exit.void)
    yield* connections.rejudge
    for (const { onMeshChange } of served) yield* onMeshChange
    yield* mesh.merge
  })

  // a shard of which a part fails is replaced
  yield* Effect.raceAllFirst([Effect.forever(takeMessage), Effect.forever(takePushes), Deferred.await(broken)])
})
