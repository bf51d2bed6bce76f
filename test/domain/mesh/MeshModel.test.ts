/** The mesh state against lists that are searched from the start. The long run: test/long. */
import { describe, it } from "@effect/vitest"
import { changes } from "../../support/meshChanges.ts"
import { answersAsTheSimpleMesh } from "../../support/meshModel.ts"

const RUNS = { arbitrary: { runs: 200 } }

describe("after any history of batches, every answer is the simple mesh's", () => {
  it.prop("where every workload is local", [changes], ([history]) => answersAsTheSimpleMesh(history), RUNS)

  it.prop("on one node", [changes], ([history]) => answersAsTheSimpleMesh(history, "n1"), RUNS)
})
