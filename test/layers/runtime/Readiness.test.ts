import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { SharedMetrics } from "../../../src/layers/observe/Metrics.ts"
import { Readiness } from "../../../src/layers/runtime/Readiness.ts"

const build = Effect.gen(function* () {
  const logged: Array<string> = []
  const log = Logger.layer([Logger.make(({ message }) => void logged.push(String([message].flat()[0])))])
  const context = yield* Layer.build(
    Layer.mergeAll(Readiness.layer.pipe(Layer.provideMerge(SharedMetrics.layer(1))), log)
  )
  const { complete, completed } = Context.get(context, Readiness)
  return {
    complete: (task: Parameters<typeof complete>[0]) => Effect.provideContext(complete(task), context),
    completed,
    done: Context.get(context, SharedMetrics).layout.readiness,
    logged
  }
})

describe("the tasks of the start", () => {
  it.effect("are marked with the time they took, seen by all threads, and logged as ztunnel does", () =>
    Effect.gen(function* () {
      const { complete, done, logged } = yield* build
      assert.deepStrictEqual([...done], [0, 0])
      yield* complete("proxy")
      assert.strictEqual(done[0], 0)
      assert.isAbove(done[1]!, 0)
      assert.match(logged[0]!, /^Task 'proxy' complete \(\d+ms\), still awaiting 1 tasks$/)
      yield* complete("state manager")
      assert.isAtLeast(done[0]!, done[1]!)
      assert.match(logged[1]!, /^Task 'state manager' complete \(\d+ms\), marking server ready$/)
    })
  )

  it.effect("can be waited for", () =>
    Effect.gen(function* () {
      const { complete, completed } = yield* build
      const waiting = yield* Effect.forkChild(completed("state manager"), { startImmediately: true })
      yield* complete("proxy")
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      yield* complete("state manager")
      yield* Fiber.join(waiting)
      yield* completed("state manager")
    })
  )

  it.effect("count the first time only", () =>
    Effect.gen(function* () {
      const { complete, done, logged } = yield* build
      yield* complete("proxy")
      const [, first] = done
      yield* complete("proxy")
      assert.strictEqual(done[1], first)
      assert.lengthOf(logged, 1)
    })
  )
})
