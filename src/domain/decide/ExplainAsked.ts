/**
 * What an application means by `host:port`. It connects to an address; a name it asks DNS for first, by the search list of
 * a pod, and weft's answer to that is `resolveHostname`.
 */
import { type Ip, isIpv6 } from "../Address.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Authority } from "../wire/Authority.ts"
import { Asked } from "./Explanation.ts"
import { resolveHostname } from "./Resolve.ts"

export const whatIsAsked = (mesh: Mesh, source: Workload, to: Authority): Asked => {
  if (to._tag === "Address") return Asked.Address({ target: to.address })
  const { host, port } = to
  for (const hostname of searched(host, source.namespace)) {
    const visible = mesh.serviceByHostname(hostname, source.namespace)
    const service = visible ?? mesh.serviceByHostname(hostname, undefined)
    if (service !== undefined) return ofService(mesh, source, { hostname, service, hidden: !visible, port })
    const workload = mesh.workloadByHostname(source.namespace, hostname)
    if (workload !== undefined) return ofWorkload(source, hostname, workload, port)
  }
  return Asked.UnknownName({ hostname: host })
}

/** `pay` is `pay.shop.svc.cluster.local` to a pod of shop, before it is `pay`. */
const searched = (host: string, namespace: string): ReadonlyArray<string> =>
  host.endsWith(".")
    ? [host]
    : [`${host}.${namespace}.svc.cluster.local`, `${host}.svc.cluster.local`, `${host}.cluster.local`, host]

interface Named {
  readonly hostname: string
  readonly service: Service
  readonly hidden: boolean
  readonly port: number
}

const ofService = (mesh: Mesh, source: Workload, { hidden, hostname, port, service }: Named): Asked => {
  const onNetwork = service.vips.filter(({ network }) => network === source.network)
  const ip = hidden ? onNetwork[0]?.ip : resolveHostname(mesh, source, hostname, familyOf(source))
  if (onNetwork.length > 0 && ip !== undefined) return Asked.Vip({ hostname, service, hidden, target: { ip, port } })
  const endpoints = mesh
    .endpoints(service)
    .all.filter(({ workload }) => workload.hasAddress && workload.status === "Healthy")
    .flatMap(({ workload }) => mesh.workloadByUid(workload.uid) ?? [])
  const [first, ...others] = endpoints.flatMap((workload) => addressOf(source, workload) ?? [])
  if (service.vips.length > 0 || first === undefined) {
    return Asked.NoAddress({ hostname, of: service, external: endpoints.length > 0 })
  }
  const target = { ip: first.ip, port }
  return Asked.Headless({ hostname, service, workload: first.workload, others: others.length, target })
}

const ofWorkload = (source: Workload, hostname: string, workload: Workload, port: number): Asked => {
  const found = addressOf(source, workload)
  if (found === undefined) return Asked.NoAddress({ hostname, of: workload, external: true })
  return Asked.WorkloadName({ hostname, workload, target: { ip: found.ip, port } })
}

const addressOf = (
  source: Workload,
  workload: Workload
): { readonly workload: Workload; readonly ip: Ip } | undefined => {
  const family = familyOf(source)
  const ip = workload.ips.find((each) => isIpv6(each) === (family === "IPv6")) ?? workload.ips[0]
  return ip === undefined ? undefined : { workload, ip }
}

/** That of its first address: what it would ask DNS for first. */
const familyOf = ({ ips: [first] }: Workload): "IPv4" | "IPv6" =>
  first !== undefined && isIpv6(first) ? "IPv6" : "IPv4"
