/** Connections to a service with two endpoints, one of which has three times the capacity of the other. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isShared, startEndpoints } from "./endpoints.ts"
import { behind, service } from "./meshes.ts"
import { loopbackAddress } from "./ownAddress.ts"

const WEIGHTS = [1, 3]

/**
 * Answers how many each endpoint got, within three standard deviations of its share. Chance alone misses that once in
 * 370 times, so a miss is tried again: twice in a row it is no chance.
 */
export const sharesByCapacity = Effect.fnUntraced(function* (count: number) {
  const vip = loopbackAddress()
  const weighted = service("weighted", [vip])
  const { open } = yield* startEndpoints({
    names: ["small", "large"],
    mesh: (place) => ({
      services: [weighted],
      workloads: [
        place("small", { capacity: WEIGHTS[0]!, ...behind(weighted) }),
        place("large", { capacity: WEIGHTS[1]!, ...behind(weighted) })
      ]
    })
  })
  return yield* Effect.promise(async () => {
    const once = () => open({ host: vip, port: 80 }, count, { atATime: 16 })
    const first = await once()
    if (isShared(first, WEIGHTS)) return first
    const second = await once()
    assert.isTrue(isShared(second, WEIGHTS), `not 1 to 3: ${first.join(" and ")}, then ${second.join(" and ")}`)
    return second
  })
})
