/** When a tunnel that was right once is right no longer. */
import { assert, describe, it } from "@effect/vitest"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { isStale, type TunnelTarget } from "../../../src/domain/decide/TunnelTarget.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { workload } from "../../support/meshes.ts"
import { simpleMesh } from "../../support/SimpleMesh.ts"

const web = workload("web", ["10.0.0.1", "10.0.0.2"])
const target: TunnelTarget = { uid: web.uid, network: "", ip: ipUnsafe("10.0.0.1") }
const named = workload("web", [], { hostname: "web.example.com" })

const cases: ReadonlyArray<readonly [string, ReadonlyArray<Workload>, boolean]> = [
  ["its workload still has that address", [web], false],
  ["its workload has gone", [workload("other", ["10.0.0.9"])], true],
  ["its workload has other addresses", [workload("web", ["10.0.0.2"])], true],
  ["its workload has no address left", [workload("web", [])], true],
  ["its workload is on another network", [workload("web", ["10.0.0.1"], { network: "far" })], true],
  ["the address belongs to another workload", [workload("web", ["10.0.0.2"]), workload("new", ["10.0.0.1"])], true],
  ["the old workload is not removed yet, and a pod has its address", [web, workload("an", ["10.0.0.1"])], true],
  ["an outsider lists the address of a pod", [web, workload("x", ["10.0.0.1"], { uid: "a/outsider" })], false],
  [
    "the address means another workload on another network",
    [web, workload("x", ["10.0.0.1"], { network: "far" })],
    false
  ],
  [
    "its workload is on the node's network, which nobody else is told by",
    [{ ...web, networkMode: "HostNetwork" }],
    false
  ],
  ["its workload has a name, and that any address", [named], false]
]

describe("a tunnel's target", () => {
  it.each(cases)("is stale or not when %s", (_, workloads, stale) => {
    assert.strictEqual(isStale(simpleMesh({ workloads, services: [], policies: [] }), target), stale)
  })
})
