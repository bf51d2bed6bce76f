/** How the process ends: on a signal, in order, within a bound (reference ops §1.5). */
import * as Effect from "effect/Effect"
import { LineWriter } from "../layers/observe/LineWriter.ts"
import { logTarget } from "../layers/observe/Logging.ts"
import { Native } from "../layers/os/Native.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { ShardPool } from "../layers/runtime/ShardPool.ts"

/** The first SIGTERM or SIGINT. After a SIGINT a second one leaves at once. */
const firstSignal = (leave: () => void) =>
  Effect.callback<NodeJS.Signals>((resume) => {
    let first = 0
    const onSigint = () => {
      const now = performance.now()
      // a Ctrl-C in a terminal arrives twice, from the terminal and from the launcher: one key press
      if (first !== 0 && now - first > SAME_KEY_PRESS_MS) leave()
      if (first === 0) first = now
      resume(Effect.succeed("SIGINT"))
    }
    for (const early of ["SIGTERM", "SIGINT"]) process.removeAllListeners(early)
    // both stay on: without a handler the next signal would end the process in the middle of its drain
    process.on("SIGINT", onSigint)
    process.on("SIGTERM", () => resume(Effect.succeed("SIGTERM")))
  })

export const untilShutdown = Effect.gen(function* () {
  const pool = yield* ShardPool
  const { drainDeadlineMs } = yield* Settings
  const writer = yield* LineWriter
  const { linux } = yield* Native
  const leave = () => (linux === undefined ? process.exit(0) : linux.exitNow(0))
  const received = yield* firstSignal(leave)
  yield* Effect.logInfo(`received signal ${received}, starting shutdown`).pipe(logTarget("signal"))
  // whatever hangs in what follows must not keep the process
  setTimeout(leave, drainDeadlineMs + LAST_RESORT_MS).unref()
  yield* pool.drain(drainDeadlineMs)
  yield* Effect.logInfo("shutdown complete").pipe(logTarget("app"))
  writer.flush()
  // nothing is left to close in order, and nothing that still hangs is waited for
  leave()
})

const SAME_KEY_PRESS_MS = 300
/** Beyond the deadline: 2 s for shards to cut what is left, and some to end the threads. */
const LAST_RESORT_MS = 5_000
