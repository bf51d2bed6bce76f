/** The shard's end of the line to the main thread: messages in, in order, and messages out, never waiting. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type { MessagePort } from "node:worker_threads"
import type { FromShard, ToShard } from "../../domain/shard/Message.ts"

export class ShardLink extends Context.Service<
  ShardLink,
  { readonly inbox: Queue.Dequeue<ToShard>; readonly send: (message: FromShard) => void }
>()("weft/layers/runtime/ShardLink") {
  static readonly layer = (port: MessagePort) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const inbox = yield* Queue.unbounded<ToShard>()
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            const onMessage = (message: ToShard) => void Queue.offerUnsafe(inbox, message)
            port.on("message", onMessage)
            return onMessage
          }),
          (onMessage) => Effect.sync(() => port.off("message", onMessage))
        )
        return ShardLink.of({ inbox, send: (message) => port.postMessage(message) })
      })
    )
}
