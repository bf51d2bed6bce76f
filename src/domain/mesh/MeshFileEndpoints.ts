/**
 * The endpoints that services of a mesh file list, moved to the workloads that they name: on the wire and in weft, being
 * an endpoint is said by the workload alone. What a workload says of itself counts.
 *
 * ztunnel keeps an entry for a workload that is not there, which is never chosen, and one with a status of its own, which
 * passes by the health policy (reference state §10, 32). Both are issues here.
 */
import * as Result from "effect/Result"
import type { MeshFileIssue } from "./MeshFileError.ts"
import type { EndpointEntry, ServiceEntry } from "./MeshFileService.ts"
import { serviceKey } from "./Service.ts"
import type { PortMap, ServiceKey, Workload } from "./Workload.ts"
import { issueAt } from "./YamlReader.ts"

export const withEndpoints = (
  workloads: ReadonlyArray<Workload>,
  services: ReadonlyArray<ServiceEntry>
): Result.Result<ReadonlyArray<Workload>, ReadonlyArray<MeshFileIssue>> => {
  const byUid = new Map(workloads.map((workload) => [workload.uid, workload]))
  const listed = new Map<Workload, Map<ServiceKey, PortMap>>()
  const issues: Array<MeshFileIssue> = []
  for (const { endpoints, service } of services) {
    const key = serviceKey(service)
    for (const endpoint of endpoints) {
      const workload = byUid.get(endpoint.workloadUid.value)
      const added = workload && listed.get(workload)
      const issue = issueOf(endpoint, workload, added?.has(key) === true)
      if (issue !== undefined) issues.push(issue)
      else if (added !== undefined) added.set(key, endpoint.ports)
      else if (workload !== undefined) listed.set(workload, new Map([[key, endpoint.ports]]))
    }
  }
  if (issues.length > 0) return Result.fail(issues)
  return Result.succeed(workloads.map((workload) => withListed(workload, listed.get(workload))))
}

const withListed = (workload: Workload, listed: ReadonlyMap<ServiceKey, PortMap> | undefined): Workload => {
  if (listed === undefined) return workload
  // its own come last, as later entries replace earlier ones, but keep their place
  return { ...workload, services: new Map([...workload.services, ...listed, ...workload.services]) }
}

const issueOf = (
  { place, status, workloadUid }: EndpointEntry,
  workload: Workload | undefined,
  isSecond: boolean
): MeshFileIssue | undefined => {
  const uid = JSON.stringify(workloadUid.value)
  if (workload === undefined) return issueAt(workloadUid.place, `no workload of this file has the uid ${uid}`)
  if (isSecond) return issueAt(place, `an earlier endpoint of this service names the same workload: ${uid}`)
  if (status === undefined || status.value === workload.status) return undefined
  return issueAt(
    status.place,
    `workload ${uid} is ${workload.status}; write the status at the workload, it counts for all of its services`
  )
}
