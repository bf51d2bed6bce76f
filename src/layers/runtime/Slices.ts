/**
 * Work that takes a thread longer than its connections can wait, done in slices of at most 4 ms (house rule 6). Between two
 * slices the event loop turns once: whatever has arrived meanwhile is served, by however many connections.
 *
 * Time is the thread's real time, also in tests with a simulated clock: it is what the connections feel.
 */
import * as Effect from "effect/Effect"

/** `step` goes on for as long as `more` allows, and answers whether all is done; then it is not called again. */
export const inSlices = (step: (more: () => boolean) => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const until = performance.now() + SLICE_MS
    return step(() => performance.now() < until) ? Effect.void : Effect.andThen(Effect.yieldNow, inSlices(step))
  })

/** The iterator lives across slices: what it walks may change meanwhile only if it allows for that. */
export const forEachInSlices = <A>(items: Iterable<A>, each: (item: A) => void): Effect.Effect<void> =>
  Effect.suspend(() => {
    const iterator = items[Symbol.iterator]()
    return inSlices((more) => {
      do {
        const next = iterator.next()
        if (next.done === true) return true
        each(next.value)
      } while (more())
      return false
    })
  })

/** Less than what is allowed: the last item of a slice may take a while, and so may the collector. */
const SLICE_MS = 3
