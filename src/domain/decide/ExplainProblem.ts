/** Why a connection has no route, in half a sentence for people; the access log's own words are ztunnel's. */
import { describe, type Reason } from "../connection/ProxyError.ts"
import type { Names } from "./Explanation.ts"
import { networkName, serviceName } from "./ExplainWords.ts"
import type { Step } from "./Trace.ts"

export const problemOf = (reason: Reason, steps: ReadonlyArray<Step>, names: Names): string => {
  switch (reason._tag) {
    case "SelfCall":
      return "that port is the proxy's own"
    case "NoHealthyUpstream":
      return unbalanced(steps) ?? describe(reason)
    case "UnknownWaypoint":
      return unbalanced(afterVia(steps)) ?? "its waypoint is not in the mesh"
    case "UnknownNetworkGateway":
      return unbalanced(afterVia(steps)) ?? "the gateway of its network is not in the mesh"
    case "NoService":
      return "a workload of another network is not reached by its own address"
    case "NoValidDestination": {
      const other = steps.findLast((step) => step._tag === "OtherNetwork")
      const missing = other === undefined ? "address" : `gateway to ${networkName(other.workload.network)}`
      return `${names.workload(reason.workload)} has no ${missing}`
    }
    default:
      return describe(reason)
  }
}

const unbalanced = (steps: ReadonlyArray<Step>): string | undefined => {
  const balance = steps.findLast((step) => step._tag === "Balance")
  if (balance === undefined) return undefined
  const { port, portKnown, service, skipped } = balance
  const name = `service ${serviceName(service)}`
  if (!portKnown && skipped.length === 0) return `${name} has no port ${port}`
  if (skipped.length === 0) return `${name} has no endpoints`
  return skipped.every(({ why }) => why === "unhealthy")
    ? `${name} has no healthy endpoint`
    : `${name} has no endpoint to go to`
}

/** What was looked at for the waypoint or gateway. */
const afterVia = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
  steps.slice(steps.findLastIndex(({ _tag }) => _tag === "Via") + 1)
