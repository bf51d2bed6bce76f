/**
 * The choice of an endpoint: the first after something of the service has changed, when it is worked out who can be chosen,
 * and the later ones. Without preferences, and with four of them.
 */
import { chooseEndpoint } from "../../../src/domain/decide/LoadBalance.ts"
import type { LoadBalancer } from "../../../src/domain/mesh/Service.ts"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { ipAt } from "../../support/largeMesh.ts"
import { behind, service, workload } from "../../support/meshes.ts"
import { encoded, stage } from "../../support/meshOf.ts"
import { seeded } from "../../support/Seeded.ts"
import { grouped, type Measured } from "./Measured.ts"
import { usOfFirst, usPerCall } from "./time.ts"

export const balance = (): ReadonlyArray<Measured> =>
  [undefined, LOCALITY].flatMap((loadBalancer) => SIZES.flatMap((endpoints) => choices(endpoints, loadBalancer)))

const choices = (endpoints: number, loadBalancer: LoadBalancer | undefined): ReadonlyArray<Measured> => {
  const web = service("web", ["172.16.0.1"], { loadBalancer })
  const pod = (index: number, capacity: number) =>
    workload(`web-${index}`, [ipAt(10, index)], {
      ...behind(web),
      capacity,
      node: `node-${index % 100}`,
      locality: { region: `r${index % 2}`, zone: `z${index % 4}`, subzone: "" }
    })
  const client = workload("client", ["10.255.0.1"], {
    node: "node-0",
    locality: { region: "r0", zone: "z0", subzone: "" }
  })
  const state = new MeshState()
  const put = (resources: Parameters<typeof encoded>[0]) => {
    for (const each of encoded(resources)) stage(state, each)
    state.commit()
    state.merge(() => true)
  }
  put({ services: [web], workloads: Array.from({ length: endpoints }, (_, index) => pod(index, 1)) })
  const random = seeded(1)
  const request = {
    source: client,
    sourceIp: client.ips[0]!,
    target: { ip: web.vips[0]!.ip, port: 80 },
    network: "",
    hbonePort: 15008,
    random: 0,
    names: () => undefined,
    loadOf: undefined
  }
  const decision = { mesh: state, request, draw: () => random.whole(2 ** 30) / 2 ** 30, trace: undefined }
  const choose = () => chooseEndpoint(decision, state.serviceByKey("shop/web.shop.svc.cluster.local")!, 80, "Standard")
  if (choose()?.port !== 8080) throw new Error("an endpoint was to be chosen")
  let capacity = 1
  const change = () => {
    capacity = 3 - capacity
    put({ workloads: [pod(0, capacity)] })
  }
  const subject = `${grouped(endpoints)} endpoints${loadBalancer === undefined ? "" : ", by locality"}`
  return [
    { case: "first choice of an endpoint", subject, unit: "us", value: usOfFirst(change, choose) },
    { case: "later choices of an endpoint", subject, unit: "us", value: usPerCall(choose) }
  ]
}

const SIZES = [10, 1_000, 10_000]
const LOCALITY: LoadBalancer = {
  mode: "Failover",
  routingPreferences: ["Network", "Region", "Zone", "Subzone"],
  healthPolicy: "OnlyHealthy"
}
