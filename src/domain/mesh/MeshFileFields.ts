/** Values that the entries of a mesh file share (reference state §7): addresses, ports, gateways. */
import * as Result from "effect/Result"
import { type Ip, parseIp } from "../Address.ts"
import { type Cidr, parseCidr } from "../Cidr.ts"
import type { NetworkIp } from "./Service.ts"
import type { GatewayAddress, PortMap } from "./Workload.ts"
import { dictionary, integer, mapping, parsed, type Read, required } from "./YamlReader.ts"

export const ip: Read<Ip> = parsed((value) => Result.getOrUndefined(parseIp(value)), "an IP address")

/** `<network>/<ip>`; the network may be empty. */
const parseNetworkIp = (value: string): NetworkIp | undefined => {
  const slash = value.indexOf("/")
  const address = Result.getOrUndefined(parseIp(value.slice(slash + 1)))
  return slash < 0 || address === undefined ? undefined : { network: value.slice(0, slash), ip: address }
}

export const networkIp: Read<NetworkIp> = parsed(
  parseNetworkIp,
  "<network>/<ip> (such as /10.96.0.1 on the network without a name)"
)

/** Host bits are tolerated and cleared. */
export const cidr: Read<Cidr> = parsed(parseCidr, "an address range such as 10.0.0.0/8")

export const port: Read<number> = integer(65535)

/** A port as a key of a map: JSON can only write it as a string. */
const portKey: Read<number> = (place) => {
  const asText = parsed((value) => (/^\d{1,5}$/.test(value) && Number(value) <= 65535 ? Number(value) : undefined), "")
  const fromText = asText(place)
  return Result.isSuccess(fromText) ? fromText : port(place)
}

/** Service port → target port. */
export const ports: Read<PortMap> = dictionary(portKey, port)

/** An address first, else a hostname: `net1/10.0.0.1`, `shop/waypoint.shop.svc.cluster.local`. */
const destination: Read<GatewayAddress["destination"]> = parsed((value) => {
  const address = parseNetworkIp(value)
  if (address !== undefined) return { _tag: "Address", ...address }
  const key = splitKey(value)
  return key === undefined ? undefined : { _tag: "Hostname", ...key }
}, "<network>/<ip> or <namespace>/<hostname>")

export const gateway: Read<GatewayAddress> = mapping<GatewayAddress>({
  destination: required(destination),
  hboneMtlsPort: required(port)
})

/** `<namespace>/<hostname>`, divided at the first slash. */
const splitKey = (value: string) => {
  const slash = value.indexOf("/")
  return slash < 0 ? undefined : { namespace: value.slice(0, slash), hostname: value.slice(slash + 1) }
}

/** A text with a slash in it. */
const keyText = (accepted: string): Read<string> =>
  parsed((value) => (splitKey(value) === undefined ? undefined : value), accepted)

export const serviceKeyText: Read<string> = keyText("<namespace>/<hostname>")

export const policyKeyText: Read<string> = keyText("<namespace>/<name>")
