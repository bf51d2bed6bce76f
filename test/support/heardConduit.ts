/** A conduit in a test's hand: everything it receives and is told, in order. */
import * as Effect from "effect/Effect"
import type { Conduit } from "../../src/layers/os/Conduit.ts"
import { eventually } from "./eventually.ts"
import { sinkConduit } from "./SinkConduit.ts"

export const heard = (conduit: Conduit) => {
  const received: Array<Buffer> = []
  const events: Array<string> = []
  conduit.watch({
    eof: () => events.push("eof"),
    gone: (how) => events.push(how._tag === "Failed" ? `Failed: ${how.detail}` : how._tag)
  })
  const sink = sinkConduit((chunk) => received.push(Buffer.from(chunk)))
  conduit.pump(sink, () => {})
  return {
    conduit,
    events,
    bytes: () => Buffer.concat(received),
    until: (event: string) =>
      Effect.promise(() =>
        eventually(
          () => events.includes(event),
          () => `${event}; there was ${events.join(", ") || "nothing"}`
        )
      )
  }
}
