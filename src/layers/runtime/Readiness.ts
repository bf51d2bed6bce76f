/** Start-up tasks that must finish before the proxy says that it is ready (reference ops §1.6). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { READINESS_TASKS, type ReadinessTask } from "../../domain/shard/MetricLayout.ts"
import { logTarget } from "../observe/Logging.ts"
import { SharedMetrics } from "../observe/Metrics.ts"

export class Readiness extends Context.Service<
  Readiness,
  {
    /** The first time counts, later ones change nothing. */
    readonly complete: (task: ReadinessTask) => Effect.Effect<void>
    /** Waits for it. */
    readonly completed: (task: ReadinessTask) => Effect.Effect<void>
  }
>()("weft/layers/runtime/Readiness") {
  static readonly layer = Layer.effect(
    this,
    Effect.map(SharedMetrics, ({ completeTask }) => {
      const pending = new Map(READINESS_TASKS.map((task) => [task, Latch.makeUnsafe(false)]))
      return Readiness.of({
        complete: (task) =>
          Effect.suspend(() => {
            const latch = pending.get(task)
            if (latch === undefined) return Effect.void
            pending.delete(task)
            latch.openUnsafe()
            const elapsed = performance.now()
            completeTask(task, elapsed)
            const state = pending.size === 0 ? "marking server ready" : `still awaiting ${pending.size} tasks`
            return Effect.logInfo(`Task '${task}' complete (${Math.round(elapsed)}ms), ${state}`).pipe(
              logTarget("readiness")
            )
          }),
        completed: (task) => Effect.suspend(() => pending.get(task)?.await ?? Effect.void)
      })
    })
  )
}
