import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseMeshFile } from "../../../src/domain/mesh/MeshFile.ts"

/** A file with three workloads, the last of which is unhealthy, and one service, whose endpoints are on line 7. */
const fileWith = (endpoints: string) => `workloads:
- {uid: a, namespace: x, workloadIps: [], services: {}}
- {uid: b, namespace: x, workloadIps: [], services: {y/other: {1: 2}, x/h: {80: 8081}, y/more: {}}}
- {uid: c, namespace: x, workloadIps: [], services: {}, status: Unhealthy}
services:
- {name: h, namespace: x, hostname: h, vips: [], ports: {80: 8080}, endpoints: {
    ${endpoints}}}`

const issues = (endpoints: string): ReadonlyArray<string> => {
  const parsed = parseMeshFile(fileWith(endpoints), "mesh.yaml")
  if (Result.isSuccess(parsed)) return []
  return parsed.failure.issues.map(({ column, line, path, problem }) => `${line}:${column} ${path}: ${problem}`)
}

const servicesOf = (endpoints: string) =>
  Result.getOrThrow(parseMeshFile(fileWith(endpoints), "mesh.yaml")).workloads.map(({ services }) =>
    Array.from(services, ([key, ports]) => `${key} ${Array.from(ports, (pair) => pair.join(":")).join(" ")}`)
  )

const B = ["y/other 1:2", "x/h 80:8081", "y/more "]

describe("the endpoints that a service lists", () => {
  it("are services of the workloads that they name, which know better", () => {
    assert.deepStrictEqual(servicesOf(""), [[], B, []])
    assert.deepStrictEqual(servicesOf("p: {workloadUid: a, port: {80: 9090, 443: 1}}, q: {workloadUid: c}"), [
      ["x/h 80:9090 443:1"],
      B,
      ["x/h "]
    ])
    assert.deepStrictEqual(servicesOf("p: {workloadUid: b, port: {80: 9090}}"), [[], B, []])
  })

  it("may repeat the status of the workload, and not contradict it", () => {
    assert.deepStrictEqual(issues("p: {workloadUid: a, status: Healthy}, q: {workloadUid: c, status: Unhealthy}"), [])
    const advice = "write the status at the workload, it counts for all of its services"
    assert.deepStrictEqual(issues("p: {workloadUid: b, status: Unhealthy}, q: {workloadUid: c, status: Healthy}"), [
      `7:33 services[0].endpoints["p"].status: workload "b" is Healthy; ${advice}`,
      `7:73 services[0].endpoints["q"].status: workload "c" is Unhealthy; ${advice}`
    ])
  })

  it("are of workloads of the file, each once", () => {
    assert.deepStrictEqual(issues("p: {workloadUid: d}, q: {workloadUid: a}, r: {workloadUid: a}"), [
      '7:22 services[0].endpoints["p"].workloadUid: no workload of this file has the uid "d"',
      '7:50 services[0].endpoints["r"]: an earlier endpoint of this service names the same workload: "a"'
    ])
  })
})
