import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { type Contribution, meshFileDelta, NO_CONTRIBUTION } from "../../../src/domain/mesh/MeshFileDelta.ts"
import { type MeshResources, parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { stageBatches } from "../../../src/domain/mesh/StageBatches.ts"
import { namesIn } from "../../support/batches.ts"
import { behind, meshFile, policy, service, workload } from "../../support/meshes.ts"

const web = service("web", ["10.9.0.1"])
const one = workload("one", ["10.0.0.1"], behind(web))
const two = workload("two", ["10.0.0.2"])
const allow = policy("allow")
const START: MeshResources = { workloads: [one, two], services: [web], policies: [allow] }

/** What an edit from `START` sends. */
const edit = (after: Partial<MeshResources>) =>
  namesIn(meshFileDelta(meshFileDelta(NO_CONTRIBUTION, START).contribution, { ...START, ...after }).batches)

describe("a mesh file as what it changes", () => {
  it("is all of it at first, under the names of the wire", () =>
    assert.deepStrictEqual(namesIn(meshFileDelta(NO_CONTRIBUTION, START).batches), [
      "shop/allow",
      "shop/web.shop.svc.cluster.local",
      one.uid,
      two.uid
    ]))

  it.each<[string, Partial<MeshResources>, ReadonlyArray<string>]>([
    ["nothing, read anew", { workloads: [workload("one", ["10.0.0.1"], behind(web)), two] }, []],
    ["the order", { workloads: [two, one] }, []],
    ["a workload", { workloads: [one, { ...two, status: "Unhealthy" }] }, [two.uid]],
    ["a service", { services: [{ ...web, canonical: true }] }, ["shop/web.shop.svc.cluster.local"]],
    ["a policy", { policies: [{ ...allow, action: "Deny" }] }, ["shop/allow"]],
    ["a workload that is gone", { workloads: [one] }, [`-${two.uid}`]],
    ["a uid", { workloads: [one, { ...two, uid: "2" }] }, ["2", `-${two.uid}`]],
    [
      "all gone",
      { workloads: [], services: [], policies: [] },
      ["-shop/allow", "-shop/web.shop.svc.cluster.local", `-${one.uid}`, `-${two.uid}`]
    ]
  ])("after an edit: %s", (_, after, sent) => assert.deepStrictEqual(edit(after), sent))

  it("leaves of the mesh what the file says, edit after edit", () => {
    const state = new MeshState()
    let contribution: Contribution = NO_CONTRIBUTION
    for (const resources of [START, { ...START, workloads: [two] }, { ...START, services: [] }, START]) {
      const read = Result.getOrThrow(parseMeshFile(meshFile(resources), "mesh.yaml"))
      const delta = meshFileDelta(contribution, read)
      for (const rejection of stageBatches(state, delta.batches)) assert.isUndefined(rejection)
      state.commit()
      contribution = delta.contribution
      const { policies, services, workloads } = resources
      assert.deepStrictEqual(
        [workloads, services, policies].map(({ length }) => length),
        [state.size.workloads, state.size.services, state.size.policies]
      )
      for (const each of workloads) assert.deepStrictEqual(state.workloadByUid(each.uid), each)
    }
  })
})
