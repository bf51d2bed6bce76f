/** The property that the mesh state is held to, for a quick and a long run. */
import { isDeepStrictEqual } from "node:util"
import { assert } from "@effect/vitest"
import { MeshState } from "../../src/domain/mesh/MeshState.ts"
import { answers } from "./meshAnswers.ts"
import { applyToResources, type Batch, EMPTY, publish, stageBatch } from "./meshChanges.ts"
import { decidesAsTheSimpleOnes } from "./meshDecisions.ts"
import { simpleMesh } from "./SimpleMesh.ts"

/** After every batch, each answer is the simple mesh's, each route and verdict the simple ones'; a batch that is only staged, or only partly merged, shows nothing of it. */
export const answersAsTheSimpleMesh = (history: ReadonlyArray<Batch>, nodeName?: string): void => {
  const state = new MeshState({ nodeName })
  let resources = EMPTY
  let expected = answers(simpleMesh(resources, nodeName))
  for (const batch of history) {
    stageBatch(state, batch)
    same(answers(state), expected, "before the commit")
    resources = applyToResources(resources, batch)
    expected = answers(simpleMesh(resources, nodeName))
    publish(state, batch)
    same(answers(state), expected, "after the commit")
    decidesAsTheSimpleOnes(state, resources)
    assert.deepStrictEqual(state.size, {
      workloads: resources.workloads.length,
      services: resources.services.length,
      policies: resources.policies.length
    })
  }
  state.merge(() => true)
  same(answers(state), expected, "after the merge")
}

const same = (given: ReturnType<typeof answers>, expected: ReturnType<typeof answers>, when: string) => {
  if (isDeepStrictEqual(given, expected)) return
  for (const [question, answer] of Object.entries(expected)) {
    assert.deepStrictEqual(given[question], answer, `${question}, ${when}`)
  }
  assert.deepStrictEqual(given, expected, when)
}
