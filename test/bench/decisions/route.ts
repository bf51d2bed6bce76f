/**
 * What a mesh decides of one connection: where it goes, and whether it may come in there, by ten policies of which none
 * matches. To random services, of a small mesh and of a large one. What is in use is kept decoded up to about a thousand
 * workloads; where more are asked for, decoding is part of it.
 */
import * as Result from "effect/Result"
import { judge } from "../../../src/domain/decide/Rbac.ts"
import { resolve } from "../../../src/domain/decide/Resolve.ts"
import type { Mesh } from "../../../src/domain/mesh/Mesh.ts"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { stageBatches } from "../../../src/domain/mesh/StageBatches.ts"
import { identityOf } from "../../../src/domain/mesh/Workload.ts"
import { largeMesh, serviceAt, sizeOf, workloadAt } from "../../support/largeMesh.ts"
import { seeded } from "../../support/Seeded.ts"
import { grouped, type Measured } from "./Measured.ts"
import { usPerCall } from "./time.ts"

export const route = (): ReadonlyArray<Measured> => [
  ...decisions(1_000, [1_000]),
  ...decisions(100_000, [1_000, 100_000])
]

const decisions = (workloads: number, inUse: ReadonlyArray<number>): ReadonlyArray<Measured> => {
  const mesh = meshOfSize(workloads)
  return inUse.map((asked) => ({
    case: "route and verdict, ten policies",
    subject: `${grouped(workloads)} workloads${asked < workloads ? `, ${grouped(asked)} in use` : ""}`,
    unit: "us",
    value: usToDecide(mesh, workloads, asked)
  }))
}

const usToDecide = (mesh: Mesh, workloads: number, inUse: number): number => {
  const { services } = sizeOf(workloads)
  const random = seeded(workloads)
  const every = workloads / inUse
  const vips = Array.from({ length: services / every }, (_, index) => serviceAt(index * every).vips[0]!.ip)
  const targets = Array.from({ length: DRAWN }, () => ({ ip: random.pick(vips), port: 80 }))
  const draws = Array.from({ length: DRAWN }, () => random.whole(2 ** 30) / 2 ** 30)
  const info = workloadAt(1, services)
  let at = 0
  const decide = () => {
    at = (at + 1) & (DRAWN - 1)
    const source = mesh.localWorkload(info)!
    const request = { ...REQUEST, source, sourceIp: source.ips[0]!, target: targets[at]!, random: draws[at]! }
    const upstream = Result.getOrThrow(resolve(mesh, request))
    if (upstream._tag !== "Hbone") throw new Error("a tunnel was to be the way")
    const { workload } = upstream
    const policies = mesh.policiesOf(workload)
    if (policies.allow.length !== POLICIES) throw new Error("ten policies were to apply")
    return judge(policies, workload, {
      source: source.ips[0]!,
      destination: { ip: upstream.nextHop.ip, port: 8080 },
      identity: identityOf(source)
    })
  }
  // all that is in use, so that it is decoded as far as it can be
  for (let times = 0; times < DRAWN; times += 1) decide()
  return usPerCall(decide)
}

const meshOfSize = (workloads: number): Mesh => {
  const state = new MeshState()
  for (const batch of largeMesh(sizeOf(workloads))) {
    for (const rejection of stageBatches(state, [batch])) {
      if (rejection !== undefined) throw new Error(`${rejection.name}: ${rejection.reason}`)
    }
    state.commit()
  }
  state.merge(() => true)
  return state
}

const REQUEST = { network: "", hbonePort: 15008, names: () => undefined, loadOf: undefined }
const POLICIES = 10
/** Enough for each of the workloads in use to be asked for some times; not that many of the larger mesh. */
const DRAWN = 2 ** 16
