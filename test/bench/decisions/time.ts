/**
 * How long a piece of work takes: processor time of this thread, so that what else the machine does is not counted. The
 * pauses of the collector are in it, its work on other threads is not.
 */
import { spread } from "../measure.ts"

/** Microseconds for each call: the median of nine rounds of at least 20 ms, after others that are not counted. */
export const usPerCall = (call: () => unknown): number => {
  let calls = 1
  while (msOf(call, calls) < ROUND_MS) calls *= 2
  return (spread(Array.from({ length: ROUNDS }, () => msOf(call, calls))).median * 1_000) / calls
}

/** Microseconds of a call that `prepare` makes the first again: the median, after some that are not counted. Real time. */
export const usOfFirst = (prepare: () => void, call: () => unknown): number => {
  const each = Array.from({ length: WARM_UP + FIRSTS }, () => {
    prepare()
    const before = performance.now()
    kept.result = call()
    return (performance.now() - before) * 1_000
  })
  return spread(each.slice(WARM_UP)).median
}

/** Milliseconds that this takes. */
export const msOf = (call: () => unknown, calls = 1): number => {
  const before = threadMs()
  for (let times = 0; times < calls; times += 1) kept.result = call()
  return threadMs() - before
}

const threadMs = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1_000
}

/** What a call answers is kept, so that it is worked out. */
const kept: { result?: unknown } = {}

const ROUND_MS = 20
const ROUNDS = 9
const WARM_UP = 60
const FIRSTS = 60
