/** A thousand long-lived connections over four shards. The quick version: test/programs. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spread } from "../support/spread.ts"

describe("a thousand connections that live long", () => {
  it.live.each(["one after the other", "in a burst"] as const)(
    "are spread evenly over four shards when they come %s",
    (how) => Effect.map(spread({ how, count: 1_000, shards: 4 }), (figures) => console.log(how, figures))
  )
})
