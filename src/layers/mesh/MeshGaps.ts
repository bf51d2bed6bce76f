/**
 * What the workloads of this process need and the mesh does not have: the workload itself, and policies that it names. Each
 * is said once while it lasts: better here than connection by connection.
 */
import * as Effect from "effect/Effect"
import type { Mesh } from "../../domain/mesh/Mesh.ts"
import type { WorkloadInfo } from "../../domain/mesh/Workload.ts"
import { logTarget } from "../observe/Logging.ts"

interface MeshGapsOptions {
  readonly mesh: () => Mesh
  /** Those that are served here. */
  readonly workloads: () => Iterable<WorkloadInfo>
  readonly nodeName: string | undefined
  /** How many policies are named and not there. */
  readonly onMissingPolicies: (count: number) => void
}

/** To be run whenever the mesh or the workloads have changed. */
export const makeMeshGaps = ({ mesh, nodeName, onMissingPolicies, workloads }: MeshGapsOptions) => {
  let told: ReadonlySet<string> = new Set()
  return Effect.suspend(() => {
    const state = mesh()
    const gaps = new Set<string>()
    let policies = 0
    for (const info of workloads()) {
      const workload = state.localWorkload(info)
      if (workload === undefined) {
        gaps.add(noWorkload(info, nodeName))
        continue
      }
      for (const key of state.policiesOf(workload).missing) {
        gaps.add(noPolicy(info, key))
        policies += 1
      }
    }
    onMissingPolicies(policies)
    const fresh = Array.from(gaps).filter((gap) => !told.has(gap))
    told = gaps
    return Effect.forEach(fresh, (gap) => Effect.logWarning(gap), { discard: true }).pipe(logTarget("admin_runtime"))
  })
}

const noWorkload = ({ name, namespace, serviceAccount }: WorkloadInfo, nodeName: string | undefined): string =>
  `the mesh has no workload ${name} in namespace ${namespace} with service account ${serviceAccount}` +
  `${nodeName === undefined ? "" : ` on node ${nodeName}`}: its connections will be refused`

const noPolicy = ({ name, namespace }: WorkloadInfo, key: string): string =>
  `the workload ${namespace}/${name} names the policy ${key}, which the mesh does not have: ` +
  "its connections are judged without that policy until it comes"
