import * as Effect from "effect/Effect"

/**
 * How long the event loop stood still while `work` was done, at most: in milliseconds of this thread's processor time, so
 * that what else the machine does is not counted.
 */
export const longestStretch = <E, R>(work: Effect.Effect<unknown, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    let longest = 0
    let before = threadMs()
    const turned = () => {
      const now = threadMs()
      longest = Math.max(longest, now - before)
      before = now
      pending = setImmediate(turned)
    }
    let pending = setImmediate(turned)
    return work.pipe(
      Effect.andThen(Effect.sync(() => Math.max(longest, threadMs() - before))),
      Effect.ensuring(Effect.sync(() => clearImmediate(pending)))
    )
  })

const threadMs = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1_000
}
