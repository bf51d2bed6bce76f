/** How an explanation calls things. */
import { isIpv6 } from "../Address.ts"
import type { Service } from "../mesh/Service.ts"
import type { GatewayAddress, Workload } from "../mesh/Workload.ts"

export const workloadName = ({ name, namespace, uid }: Pick<Workload, "name" | "namespace" | "uid">): string =>
  name === "" ? uid : `${namespace}/${name}`

export const serviceName = ({ hostname, name, namespace }: Service): string =>
  `${namespace}/${name === "" ? hostname : name}`

export const networkName = (network: string): string => (network === "" ? "the unnamed network" : `network ${network}`)

export const gatewayName = ({ destination, hboneMtlsPort }: GatewayAddress): string => {
  if (destination._tag === "Hostname") return `${destination.namespace}/${destination.hostname}, port ${hboneMtlsPort}`
  const { ip, network } = destination
  const address = isIpv6(ip) ? `[${ip}]:${hboneMtlsPort}` : `${ip}:${hboneMtlsPort}`
  return network === "" ? address : `${address} on ${networkName(network)}`
}

/** `a, b and c`; of many, the first ones and how many more. */
export const listed = (items: ReadonlyArray<string>, last: "and" | "or" = "and", most = 5): string => {
  if (items.length > most) return `${items.slice(0, most).join(", ")} ${last} ${items.length - most} more`
  return items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} ${last} ${items.at(-1)}`
}
