/** Long-lived connections over the shards: the kernel alone leaves some with twice the work of others (house.md §5). */
import { describe, it } from "@effect/vitest"
import { spread } from "../support/spread.ts"

describe("connections that live long", () => {
  it.live.each(["one after the other", "in a burst"] as const)(
    "are spread evenly over four shards when they come %s",
    (how) => spread({ how, count: 200, shards: 4 })
  )
})
