/** Ten thousand connections to endpoints of unequal capacity. The quick version: test/e2e/endpoints.test.ts. */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { sharesByCapacity } from "../support/capacities.ts"

describe("ten thousand connections", () => {
  it.live("are shared by capacity, within three standard deviations", () =>
    Effect.map(sharesByCapacity(10_000), (counts) => console.log("capacities 1 and 3:", counts.join(" and ")))
  )
})
