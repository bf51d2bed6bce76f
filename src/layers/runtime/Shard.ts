/** What the main thread knows of one shard, over all its lives, and how it waits for what the shard answers. */
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Worker } from "node:worker_threads"
import type { ListenerSpec, ToShard } from "../../domain/shard/Message.ts"

export class ServeError extends Data.TaggedError("ServeError")<{ readonly detail: string }> {
  override get message() {
    return this.detail
  }
}

export type ShardEvent = "applied" | "serving" | "stopped" | "drained"

export class Shard {
  worker: Worker | undefined
  /** Why we ended it ourselves. */
  endedFor: string | undefined
  applied = 0
  /** Accepts no more. */
  stopped = false
  drained = false
  readonly serving = new Map<number, Exit.Exit<ReadonlyArray<ListenerSpec>, ServeError>>()
  readonly #waiting: Array<{ readonly event: ShardEvent; readonly look: () => void }> = []

  /** Ends this life of it; the supervisor gives it another one. */
  end(why: string): Effect.Effect<void> {
    return Effect.promise(async () => {
      this.endedFor = why
      await this.worker?.terminate()
    })
  }

  /** Nobody hears it while the shard is being replaced: its successor is told everything anew. */
  tell(message: ToShard): void {
    this.worker?.postMessage(message)
  }

  settle(event: ShardEvent): void {
    for (const waiter of this.#waiting.filter((each) => each.event === event)) waiter.look()
  }

  /** Done as soon as `ask` answers; it is asked now and after each such event. */
  waitFor<A>(event: ShardEvent, ask: () => A | undefined): Effect.Effect<A> {
    return Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<A>()
      const look = () => {
        const given = ask()
        if (given !== undefined) Deferred.doneUnsafe(answer, Exit.succeed(given))
      }
      const waiter = { event, look }
      this.#waiting.push(waiter)
      look()
      return Effect.ensuring(
        Deferred.await(answer),
        Effect.sync(() => void this.#waiting.splice(this.#waiting.indexOf(waiter), 1))
      )
    })
  }
}
