/**
 * A decision told as a story: what happens to a connection of `source` that asks for `to`, at home and at the far side, and
 * what has to change if it is not carried. Everything is decided by the functions that serve connections, with a trace;
 * this only asks them in the order in which a connection does.
 *
 * Nothing is dialled and nothing looked up in DNS: where a name would be, the explanation goes on with the name.
 */
import * as Result from "effect/Result"
import { formatSocketAddress, type Ip, ipUnsafe, isIpv6, parseSocketAddress, type SocketAddress } from "../Address.ts"
import { Reason } from "../connection/ProxyError.ts"
import type { Spiffe } from "../Identity.ts"
import type { Mesh } from "../mesh/Mesh.ts"
import { identityOf, type Workload } from "../mesh/Workload.ts"
import { parseAuthority } from "../wire/Authority.ts"
import { adviceOn } from "./ExplainAdvice.ts"
import { whatIsAsked } from "./ExplainAsked.ts"
import { whyOf } from "./ExplainPolicy.ts"
import { serviceName, workloadName } from "./ExplainWords.ts"
import {
  type Asked,
  type Explanation,
  type ExplainRequest,
  FarSide,
  type Judgement,
  type Names,
  type Outbound,
  type Outcome
} from "./Explanation.ts"
import { inboundTarget } from "./InboundTarget.ts"
import { judge } from "./Rbac.ts"
import { resolve } from "./Resolve.ts"
import { isSelfCall } from "./SelfCall.ts"
import type { Step } from "./Trace.ts"
import { NameNeeded, type Upstream } from "./Upstream.ts"

export const explain = (mesh: Mesh, request: ExplainRequest): Explanation => {
  const asked = whatIsAsked(mesh, request.source, request.to)
  const sourceIp = sourceIpOf(request.source, asked)
  const standIns = new Map<Ip, string>()
  const outbound = goOut(mesh, request, asked, sourceIp, standIns)
  const names = namesOf(mesh, standIns)
  const far = atTheFarSide({ mesh, request, names, sourceIp }, outbound)
  const told = {
    request,
    sourceIp,
    asked,
    outbound,
    far,
    outcome: outcomeOf(asked, outbound, far),
    names
  }
  return { ...told, advice: adviceOn(told) }
}

const namesOf = (mesh: Mesh, standIns: ReadonlyMap<Ip, string>): Names => {
  const address = (address: SocketAddress) => {
    const name = standIns.get(address.ip)
    return name === undefined ? formatSocketAddress(address) : `${name}:${address.port}`
  }
  const ip = (ip: Ip) => standIns.get(ip) ?? (ip === ANY_V4 || ip === ANY_V6 ? "an unknown address" : ip)
  const workload = (uid: string) => {
    const found = mesh.workloadByUid(uid)
    return found === undefined ? uid : workloadName(found)
  }
  return {
    ip,
    address,
    authority: (authority) =>
      Result.match(parseSocketAddress(authority), { onSuccess: address, onFailure: () => authority }),
    workload,
    thing: (key) => {
      const service = mesh.serviceByKey(key)
      return service === undefined ? `workload ${workload(key)}` : `service ${serviceName(service)}`
    }
  }
}

/** Of the target's family if it has one: that is what the application's socket is bound to. */
const sourceIpOf = ({ ips }: Workload, asked: Asked): Ip => {
  const v6 = "target" in asked && isIpv6(asked.target.ip)
  return ips.find((ip) => isIpv6(ip) === v6) ?? ips[0] ?? (v6 ? ANY_V6 : ANY_V4)
}

const goOut = (
  mesh: Mesh,
  request: ExplainRequest,
  asked: Asked,
  sourceIp: Ip,
  standIns: Map<Ip, string>
): Outbound => {
  if (!("target" in asked)) return { steps: [], upstream: undefined, failed: undefined }
  const { hbonePort, illegalPorts, network, random, source } = request
  const { target } = asked
  if (isSelfCall(target, illegalPorts, (ip) => source.ips.includes(ip))) {
    return { steps: [], upstream: undefined, failed: Reason.SelfCall() }
  }
  const steps: Array<Step> = []
  const names = (hostname: string) => [standInFor(hostname, standIns)]
  const outbound = { source, sourceIp, target, network, hbonePort, random, names, loadOf: undefined }
  const decided = resolve(mesh, outbound, (step) => steps.push(step))
  if (Result.isSuccess(decided)) return { steps, upstream: decided.success, failed: undefined }
  const { failure } = decided
  // never: every name has an address here
  if (failure instanceof NameNeeded)
    return { steps, upstream: undefined, failed: Reason.NoResolvedAddresses({ workload: failure.hostname }) }
  return { steps, upstream: undefined, failed: failure.reason }
}

/** An address that nobody has (RFC 1122 §3.2.1.3) in the place of those that DNS would give for the name. */
const standInFor = (hostname: string, standIns: Map<Ip, string>): Ip => {
  for (const [ip, name] of standIns) if (name === hostname) return ip
  const ip = ipUnsafe(`0.0.0.${standIns.size + 1}`)
  standIns.set(ip, hostname)
  return ip
}

interface Seen {
  readonly mesh: Mesh
  readonly request: ExplainRequest
  readonly names: Names
  readonly sourceIp: Ip
}

const atTheFarSide = (seen: Seen, { steps, upstream }: Outbound): FarSide => {
  switch (upstream?._tag) {
    case undefined:
      return FarSide.NotReached()
    case "Passthrough":
      return FarSide.Outside()
    case "Direct": {
      const { address, workload } = upstream
      const { allow, deny } = seen.mesh.policiesOf(workload)
      const judgement = judged(seen, workload, address, undefined)
      return FarSide.Plaintext({ workload, policies: allow.length + deny.length, judgement })
    }
    case "DoubleHbone":
      return FarSide.Gateway({ gateway: upstream.gateway, network: networkBehind(steps, upstream.gateway) })
    case "Hbone":
      return atNodeProxy(seen, steps, upstream)
  }
}

/** What the node proxy of the next hop does with the stream, if there is one before it. */
const atNodeProxy = (
  seen: Seen,
  outboundSteps: ReadonlyArray<Step>,
  { authority, nextHop, service, workload }: Extract<Upstream, { _tag: "Hbone" }>
): FarSide => {
  const waypoint = outboundSteps.some(
    (step) => step._tag === "ViaResolved" && step.role === "waypoint" && step.workload.uid === workload.uid
  )
  // a waypoint behind a node proxy is one that is handed the connection through an application tunnel
  if (workload.nativeTunnel || (waypoint && workload.applicationTunnel === undefined)) {
    return FarSide.Itself({ workload, waypoint })
  }
  const { mesh, request } = seen
  const { illegalPorts, network, source } = request
  const steps: Array<Step> = []
  const stream = {
    workload,
    connected: nextHop,
    // what resolve says is an authority
    authority: Result.getOrThrow(parseAuthority(authority)),
    forwardedHost: service?.hostname,
    illegalPorts,
    network
  }
  const found = inboundTarget(mesh, stream, (step) => steps.push(step))
  if (Result.isFailure(found)) {
    return FarSide.NodeProxy({ workload, waypoint, steps, failed: found.failure.reason, judgement: undefined })
  }
  const judgement = judged(seen, workload, found.success.target, identityOf(source))
  return FarSide.NodeProxy({ workload, waypoint, steps, failed: undefined, judgement })
}

const judged = (
  { mesh, names, sourceIp }: Seen,
  workload: Workload,
  destination: SocketAddress,
  identity: Spiffe | undefined
): Judgement => {
  const steps: Array<Step> = []
  const connection = { source: sourceIp, destination, identity }
  const verdict = judge(mesh.policiesOf(workload), workload, connection, (step) => steps.push(step))
  const why = new Map<string, ReadonlyArray<string>>()
  const peer = { ...connection, shown: { source: names.ip(sourceIp), destination: names.ip(destination.ip) } }
  for (const step of steps) {
    if (step._tag === "PolicyChecked") why.set(step.policy.key, whyOf(step.policy, peer))
  }
  return { ...connection, steps, allowed: verdict._tag === "Allowed", why }
}

const networkBehind = (steps: ReadonlyArray<Step>, gateway: Workload): string =>
  steps.findLast((step) => step._tag === "OtherNetwork")?.workload.network ?? gateway.network

const outcomeOf = (asked: Asked, { failed, upstream }: Outbound, far: FarSide): Outcome => {
  if (asked._tag === "UnknownName") return "PASSTHROUGH"
  if (asked._tag === "NoAddress") return asked.external ? "PASSTHROUGH" : "NO ROUTE"
  if (failed !== undefined) return "NO ROUTE"
  switch (far._tag) {
    case "NotReached":
      return "NO ROUTE"
    case "Outside":
      return "PASSTHROUGH"
    case "Plaintext":
      return "ALLOWED"
    case "Itself":
      return "FORWARDED"
    case "Gateway":
      // nobody is accepted behind the gateway
      return upstream?._tag === "DoubleHbone" && upstream.identities.length === 0 ? "NO ROUTE" : "FORWARDED"
    case "NodeProxy":
      if (far.failed !== undefined) return "NO ROUTE"
      if (far.judgement?.allowed === false) return "DENIED"
      return far.waypoint ? "FORWARDED" : "ALLOWED"
  }
}

const ANY_V4 = ipUnsafe("0.0.0.0")
const ANY_V6 = ipUnsafe("::")
