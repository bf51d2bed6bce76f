/** What a mesh decides of everything in the small universe of meshChanges, against the simple route and the simple verdict. */
import { assert } from "@effect/vitest"
import { judge } from "../../src/domain/decide/Rbac.ts"
import { resolve } from "../../src/domain/decide/Resolve.ts"
import type { Mesh } from "../../src/domain/mesh/Mesh.ts"
import { identityOf } from "../../src/domain/mesh/Workload.ts"
import { IPS } from "./meshChanges.ts"
import { type Resources, simpleMesh } from "./SimpleMesh.ts"
import { simpleRbac } from "./SimpleRbac.ts"
import { outcomeText, possible } from "./SimpleRoute.ts"

export const decidesAsTheSimpleOnes = (mesh: Mesh, resources: Resources): void => {
  const simple = simpleMesh(resources)
  for (const { uid } of resources.workloads) {
    const source = mesh.workloadByUid(uid)
    assert.isDefined(source, uid)
    for (const ip of IPS) {
      const target = { ip, port: 80 }
      const request = {
        source,
        sourceIp: source.ips[0] ?? ip,
        target,
        network: "",
        hbonePort: 15008,
        random: 0.4,
        names: () => undefined,
        loadOf: undefined
      }
      assert.include(possible(resources, request).map(outcomeText), outcomeText(resolve(mesh, request)), `${uid} ${ip}`)
      const connection = { source: ip, destination: target, identity: identityOf(source) }
      for (const each of resources.workloads) {
        const verdict = judge(mesh.policiesOf(each), each, connection)
        const { allowed, by } = simpleRbac(simple.policiesOf(each), connection)
        assert.deepStrictEqual([verdict._tag === "Allowed", verdict.by?.key], [allowed, by], `${each.uid} from ${uid}`)
      }
    }
  }
}
