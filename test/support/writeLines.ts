/**
 * A process that writes numbered lines to its standard output through a `LineWriter`, tells its parent "written", and,
 * told to end, flushes until all is out or the reader has gone; then it tells how many lines were dropped.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LineWriter } from "../../src/layers/observe/LineWriter.ts"
import { Native } from "../../src/layers/os/Native.ts"

const count = Number(process.argv[2])
let dropped = 0
const layer = LineWriter.layer((lines) => (dropped += lines)).pipe(Layer.provide(Native.layer))

await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const writer = Context.get(yield* Layer.build(layer), LineWriter)
      for (let line = 0; line < count; line++) {
        writer.write(`${String(line).padStart(8, "0")} ${"x".repeat(80)}\n`)
        if (line % 1_000 === 0) writer.flush()
      }
      const ended = new Promise((resolve) => process.once("message", resolve))
      process.send?.("written")
      yield* Effect.promise(() => ended)
      // the parent reads now: a second is a hundred tries
      for (let tries = 0; tries < 100; tries++) {
        writer.flush()
        yield* Effect.sleep("10 millis")
      }
    })
  )
)
process.send?.(dropped)
process.disconnect?.()
