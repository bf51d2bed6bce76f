/** `resolve` against the list of all answers that are possible, over small random meshes. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { resolve } from "../../../src/domain/decide/Resolve.ts"
import { integer } from "../../support/hostileInput.ts"
import { asked } from "../../support/routeMeshes.ts"
import { seeded } from "../../support/Seeded.ts"
import { simpleMesh } from "../../support/SimpleMesh.ts"
import { type Outcome, outcomeText, possible } from "../../support/SimpleRoute.ts"

const RUNS = { arbitrary: { runs: 1500, size: 30 } }

describe("an answer", () => {
  it.prop(
    "is one of those that are possible",
    [asked, integer(0, 999)],
    ([{ given, request }, number]) => {
      const all = possible(given, request).map(outcomeText)
      assert.include(all, outcomeText(resolve(simpleMesh(given), { ...request, random: number / 1000 })))
    },
    RUNS
  )

  it.prop(
    "is each of those that are possible, sooner or later",
    [asked],
    ([{ given, request }]) => {
      const left = new Set(possible(given, request).map(outcomeText))
      const mesh = simpleMesh(given)
      const { whole } = seeded(7)
      // whoever is more loaded may never be taken
      const unloaded = { ...request, loadOf: undefined }
      for (let run = 0; run < 3000 && left.size > 0; run++) {
        left.delete(outcomeText(resolve(mesh, { ...unloaded, random: whole(2 ** 32) / 2 ** 32 })))
      }
      assert.deepStrictEqual([...left], [])
    },
    { arbitrary: { runs: 300, size: 30 } }
  )

  it.effect(
    "is of every kind in these meshes",
    Effect.fnUntraced(function* () {
      const kinds = new Set<string>()
      for (const { given, request } of yield* Arbitrary.sampleEffect(asked, { count: 1200, size: 30, seed: 1 })) {
        for (const outcome of possible(given, request)) kinds.add(kindOf(outcome))
      }
      assert.deepStrictEqual([...kinds].toSorted(), [
        "Direct",
        "DoubleHbone",
        "Hbone",
        "NameNeeded",
        "NoHealthyUpstream",
        "NoResolvedAddresses",
        "NoService",
        "NoValidDestination",
        "Passthrough",
        "UnknownNetworkGateway",
        "UnknownWaypoint"
      ])
    })
  )
})

const kindOf = (outcome: Outcome): string => {
  if (Result.isSuccess(outcome)) return outcome.success._tag
  return outcome.failure._tag === "NameNeeded" ? "NameNeeded" : outcome.failure.reason._tag
}
