import { assert, describe, it } from "@effect/vitest"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import * as Mesh from "../../../src/domain/mesh/Mesh.ts"
import type { LoadBalancer, Service } from "../../../src/domain/mesh/Service.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { behind, service, workload } from "../../support/meshes.ts"

const mesh = (workloads: ReadonlyArray<Workload>, services: ReadonlyArray<Service> = [], nodeName?: string) =>
  Mesh.make({ workloads, services }, nodeName)

const IP = "10.0.0.1"
const at = (mesh: Mesh.Mesh, ip = IP, network = "") => mesh.workloadByAddress(network, ipUnsafe(ip))
const vip = (mesh: Mesh.Mesh, client: string | undefined, ip = "10.96.0.1", network = "") =>
  mesh.serviceByVip(network, ipUnsafe(ip), client)

describe("workloads", () => {
  it("are found by uid, by each address on their network, by hostname in their namespace", () => {
    const a = workload("a", [IP, "2001:db8::1"], { network: "net", hostname: "A.example" })
    const all = mesh([a])
    assert.strictEqual(all.workloadByUid(a.uid), a)
    assert.strictEqual(at(all, IP, "net"), a)
    assert.strictEqual(at(all, "2001:db8::1", "net"), a)
    assert.isUndefined(at(all))
    assert.strictEqual(all.workloadByHostname("shop", "a.Example."), a)
    assert.isUndefined(all.workloadByHostname("other", "a.example"))
    assert.isUndefined(mesh([workload("b", [])]).workloadByHostname("shop", ""))
  })

  it("on the host's network are not found by the host's address", () => {
    assert.isUndefined(at(mesh([workload("a", [IP], { networkMode: "HostNetwork" })])))
  })

  it("that share an address: a pod before another, HBONE before TCP, the last of equals", () => {
    const entry = workload("entry", [IP], { uid: "entry" })
    const plainEntry = workload("plain-entry", [IP], { uid: "plain-entry", protocol: "TCP" })
    const plainPod = workload("plain-pod", [IP], { protocol: "TCP" })
    const pod = workload("pod", [IP])
    const later = workload("later", [IP])
    const order = [plainEntry, entry, plainPod, pod]
    for (const [index, best] of order.entries()) {
      const present = order.slice(0, index + 1)
      assert.strictEqual(at(mesh(present)), best)
      assert.strictEqual(at(mesh(present.toReversed())), best)
    }
    assert.strictEqual(at(mesh([pod, later])), later)
  })

  it("are local by name, namespace and service account, on this node if it has a name", () => {
    const a = workload("a", [IP], { serviceAccount: "sa" })
    const info = { name: "a", namespace: "shop", serviceAccount: "sa" }
    assert.strictEqual(mesh([a]).localWorkload(info), a)
    assert.strictEqual(mesh([a], [], "").localWorkload(info), a)
    assert.strictEqual(mesh([a], [], "n1").localWorkload(info), a)
    assert.isUndefined(mesh([a], [], "n2").localWorkload(info))
    assert.isUndefined(mesh([a]).localWorkload({ ...info, serviceAccount: "other" }))
  })
})

describe("services that share an address or a hostname", () => {
  const shared = { hostname: "shared.example" }
  const first = service("first", ["10.96.0.1"], { ...shared, namespace: "a" })
  const canonical = service("canonical", ["10.96.0.1"], { ...shared, namespace: "b", canonical: true })
  const own = service("own", ["10.96.0.1"], { ...shared, namespace: "c" })
  const hidden = service("hidden", ["10.96.0.1"], {
    ...shared,
    namespace: "d",
    canonical: true,
    visibility: "Namespace"
  })
  const all = mesh([], [first, canonical, own, hidden])

  it("are chosen by namespace, then canonical, then the first; what is not visible is not there", () => {
    for (const find of [
      (client?: string) => vip(all, client),
      (client?: string) => all.serviceByHostname("shared.Example.", client)
    ]) {
      assert.strictEqual(find("c"), own)
      assert.strictEqual(find("elsewhere"), canonical)
      assert.strictEqual(find("d"), hidden)
      assert.strictEqual(find(undefined), hidden)
    }
    assert.strictEqual(vip(mesh([], [first, own]), "elsewhere"), first)
    assert.isUndefined(vip(mesh([], [hidden]), "elsewhere"))
    assert.isUndefined(vip(all, "c", "10.96.0.1", "other"))
  })

  it("in one namespace: the last one has the address", () => {
    const later = service("later", ["10.96.0.1"], { namespace: "a" })
    const both = mesh([], [first, later])
    assert.strictEqual(vip(both, "a"), later)
    assert.strictEqual(both.serviceByKey("a/shared.example"), first)
  })
})

describe("address ranges", () => {
  const range = (name: string, cidr: string, rest: Partial<Service> = {}) =>
    service(name, [], { cidrVips: [{ network: "", cidr }], namespace: name, ...rest })
  const wide = range("wide", "10.0.0.0/8")
  const narrow = range("narrow", "10.96.0.0/16")

  it("are the fallback: the client's namespace, then the narrower, then the canonical, then the first", () => {
    const exact = service("exact", ["10.96.0.1"], { visibility: "Namespace" })
    const all = mesh([], [wide, narrow, exact])
    assert.strictEqual(vip(all, "shop"), exact)
    assert.strictEqual(vip(all, "elsewhere"), narrow)
    assert.strictEqual(vip(all, "wide"), wide)
    assert.strictEqual(vip(all, undefined, "10.1.0.1"), wide)
    assert.isUndefined(vip(all, undefined, "11.0.0.1"))
    assert.isUndefined(vip(all, undefined, "10.1.0.1", "other"))
    assert.isUndefined(vip(all, undefined, "2001:db8::1"))
    const twin = range("twin", "10.96.0.0/16")
    assert.strictEqual(vip(mesh([], [narrow, twin]), undefined), narrow)
    const canonical = range("canonical", "10.96.0.0/16", { canonical: true })
    assert.strictEqual(vip(mesh([], [narrow, canonical]), undefined), canonical)
    const hidden = range("hidden", "10.96.0.0/24", { visibility: "Namespace" })
    assert.strictEqual(vip(mesh([], [narrow, hidden]), "elsewhere"), narrow)
  })

  it("may be of IPv6", () => {
    assert.isDefined(vip(mesh([], [range("six", "2001:db8::/32")]), undefined, "2001:db8:1::1"))
  })
})

describe("endpoints", () => {
  const web = service("web", ["10.96.0.1"], {
    endpoints: new Map([
      ["listed", { workloadUid: "listed", ports: new Map([[80, 1]]), status: "Healthy" }],
      ["sick", { workloadUid: "sick", ports: new Map(), status: "Unhealthy" }],
      ["both", { workloadUid: "both", ports: new Map([[80, 1]]), status: "Unhealthy" }],
      ["gone", { workloadUid: "gone", ports: new Map(), status: "Healthy" }]
    ])
  })
  const one = (uid: string, rest: Partial<Workload> = {}) => workload(uid, [], { uid, ...rest })
  const workloads = [
    one("listed"),
    one("sick"),
    one("both", behind(web, [[80, 2]])),
    one("tired", { ...behind(web, [[80, 3]]), status: "Unhealthy" }),
    one("elsewhere", behind(service("other", [])))
  ]
  const uids = (mesh: Mesh.Mesh, service: Service) => mesh.candidates(service).map(({ workload }) => workload.uid)

  it("are what the service lists and what workloads say of themselves, which wins; the unhealthy are left out", () => {
    const all = mesh(workloads, [web])
    assert.deepStrictEqual(uids(all, web), ["listed", "both"])
    assert.deepStrictEqual(all.candidates(web)[1]?.ports, new Map([[80, 2]]))
  })

  it("are all of them where the service says so", () => {
    const loadBalancer: LoadBalancer = { mode: "Standard", routingPreferences: [], healthPolicy: "AllowAll" }
    const open = { ...web, loadBalancer }
    assert.deepStrictEqual(uids(mesh(workloads, [open]), open), ["listed", "sick", "both", "tired"])
  })

  it("know their service, healthy or not", () => {
    const all = mesh(workloads, [web])
    const servicesOf = workloads.map((workload) => all.servicesOf(workload).map(({ name }) => name))
    assert.deepStrictEqual(servicesOf, [["web"], ["web"], ["web"], ["web"], []])
    assert.deepStrictEqual(all.endpointPorts(web, workloads[3]!), new Map([[80, 3]]))
    assert.isUndefined(all.endpointPorts(web, workloads[4]!))
  })
})
