/**
 * Which address of the chosen workload is dialled (reference state §4.6): the one that was asked for, if it is the
 * workload's; else one of the same family, else any that the service allows; and where it has none, one of its hostname's.
 */
import * as Result from "effect/Result"
import { type Ip, isIpv6 } from "../Address.ts"
import { type ProxyError, proxyError, Reason } from "../connection/ProxyError.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Decision } from "./Decision.ts"
import { Step } from "./Trace.ts"
import { NameNeeded } from "./Upstream.ts"

export const dialAddress = (
  { draw, request, trace }: Decision,
  workload: Workload,
  asked: Ip,
  service: Service | undefined
): Result.Result<Ip, ProxyError | NameNeeded> => {
  const { hostname, uid } = workload
  const own = ownAddress(workload, asked, service?.ipFamilies)
  if (own !== undefined) {
    trace?.(Step.AddressChosen({ workload, ip: own, byName: false }))
    return Result.succeed(own)
  }
  if (hostname === "") return Result.fail(proxyError(Reason.NoValidDestination({ workload: uid })))
  const named = request.names(hostname)
  if (named === undefined) return Result.fail(new NameNeeded({ hostname }))
  // what the service allows is not asked of these
  const alike = named.filter((ip) => isIpv6(ip) === isIpv6(asked))
  const candidates = alike.length > 0 ? alike : named
  const ip = candidates[Math.floor(draw() * candidates.length)]
  if (ip === undefined) return Result.fail(proxyError(Reason.NoResolvedAddresses({ workload: uid })))
  trace?.(Step.AddressChosen({ workload, ip, byName: true }))
  return Result.succeed(ip)
}

const ownAddress = ({ ips }: Workload, asked: Ip, families: Service["ipFamilies"]): Ip | undefined => {
  if (ips.includes(asked)) return asked
  const allowed = ips.filter((ip) => families !== (isIpv6(ip) ? "IPv4" : "IPv6"))
  return allowed.find((ip) => isIpv6(ip) === isIpv6(asked)) ?? allowed[0]
}
