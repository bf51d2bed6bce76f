/** What to change when a connection is not carried, and what is worth knowing when it is: sentences for people. */
import * as Result from "effect/Result"
import { describe, type Reason } from "../connection/ProxyError.ts"
import { parseIdentity } from "../Identity.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Explanation, Judgement } from "./Explanation.ts"
import { gatewayName, listed, networkName, serviceName, workloadName } from "./ExplainWords.ts"
import type { Skipped, Step } from "./Trace.ts"

type Told = Omit<Explanation, "advice">
type StepOf<Tag extends Step["_tag"]> = Extract<Step, { readonly _tag: Tag }>

export const adviceOn = (told: Told): ReadonlyArray<string> => {
  const { asked, far, outbound } = told
  if (asked._tag === "NoAddress") return onNoAddress(told, asked.of, asked.external)
  if (outbound.failed !== undefined) return onFailure(told, outbound.failed, outbound.steps)
  switch (far._tag) {
    case "NodeProxy":
      if (far.failed !== undefined) return onFailure(told, far.failed, far.steps)
      return [
        ...(far.judgement === undefined ? [] : onVerdict(far.judgement, far.workload)),
        ...(far.waypoint ? [onward(told, far.workload)] : [])
      ]
    case "Plaintext":
      return onPlaintext(told, far.workload, far.policies)
    case "Gateway":
      return onGateway(told)
    case "Outside":
      return onPassthrough(told)
    case "Itself":
    case "NotReached":
      return []
  }
}

const onNoAddress = (
  { request: { source } }: Told,
  of: Service | Workload,
  external: boolean
): ReadonlyArray<string> => {
  if (!("vips" in of)) {
    return [
      `${workloadName(of)} has no address (workloadIps). To have it routed by its name, put a service with an address (vips) before it.`
    ]
  }
  const name = `Service ${serviceName(of)}`
  if (of.vips.length > 0) {
    const networks = Array.from(new Set(of.vips.map(({ network }) => networkName(network))))
    return [`${name} has an address on ${listed(networks)} only. Give it one on ${networkName(source.network)} (vips).`]
  }
  return external
    ? [`To have connections routed as service ${serviceName(of)}, give it an address (vips).`]
    : [`${name} has neither an address (vips) nor a healthy endpoint with one. Give it either.`]
}

const onFailure = (told: Told, reason: Reason, steps: ReadonlyArray<Step>): ReadonlyArray<string> => {
  const { names, request } = told
  switch (reason._tag) {
    case "SelfCall":
      return ["That port belongs to the proxy itself. Connect to the port of the application."]
    case "NoHealthyUpstream":
      return onBalance(told, last(steps, "Balance"))
    case "UnknownWaypoint":
    case "UnknownNetworkGateway":
      return onReference(told, steps)
    case "NoService":
      return [
        "A workload of another network is reached through a service only. Connect to a service that it is behind, not to its own address."
      ]
    case "NoValidDestination":
      return [onNoDestination(names.workload(reason.workload), last(steps, "OtherNetwork"))]
    case "NoPortForService":
      return [
        `The far side finds no port of its own for port ${reason.port} of ${reason.service}. Give the service, or the workload's entry for it, a target port.`
      ]
    case "UnknownHostname":
      return [
        `The far side does not know ${reason.hostname}. Add a service of that hostname which its namespace may see.`
      ]
    case "NoVip":
      return [`Give service ${reason.service} an address (vips): the PROXY header has to name one.`]
    case "IpMismatch":
      return [
        `The far side, ${reason.connected}, is asked for ${reason.authority}, which is not its own. Let that service or workload name it as its waypoint, or correct the waypoint that it names.`
      ]
    default:
      return [`${describe(reason)}; ${request.source.uid} asked.`]
  }
}

const onNoDestination = (workload: string, other: StepOf<"OtherNetwork"> | undefined): string =>
  other === undefined
    ? `Give ${workload} an address (workloadIps) of a family that the service allows (ipFamilies).`
    : `${workload} is on ${networkName(other.workload.network)}. Give it the gateway that leads there (networkGateway).`

/** Why nobody was chosen. */
const onBalance = ({ names }: Told, balance: StepOf<"Balance"> | undefined): ReadonlyArray<string> => {
  if (balance === undefined) return []
  const { port, portKnown, service, skipped } = balance
  const name = `Service ${serviceName(service)}`
  const ports = Array.from(service.ports.keys())
  if (!portKnown) {
    return ports.length === 0
      ? [`${name} has no ports. Add port ${port} to it.`]
      : [
          `${name} has no port ${port}; it has ${listed(ports.map(String))}. Connect to one of these, or add port ${port} to it.`
        ]
  }
  if (skipped.length === 0) {
    return [
      `${name} has no endpoints. A workload becomes one by naming ${service.namespace}/${service.hostname} in its services (in Kubernetes: a pod that the selector selects).`
    ]
  }
  const reasons = Map.groupBy(skipped, ({ why }) => why)
  return Array.from(reasons, ([why, those]) =>
    REMEDY[why](
      listed(
        those.map(({ workload }) => names.workload(workload.uid)),
        "or"
      ),
      balance
    )
  )
}

const REMEDY: Record<Skipped, (who: string, balance: StepOf<"Balance">) => string> = {
  unhealthy: (who) =>
    `Make ${who} healthy (in Kubernetes: ready). Or let the service use unhealthy endpoints too (healthPolicy AllowAll).`,
  "no target port": (who, { port }) =>
    `Say which port of ${who} is meant by port ${port} of the service: its own entry under services has none.`,
  "no address and no gateway": (who) =>
    `Give ${who} an address (workloadIps), or the gateway of its network (networkGateway).`,
  "not local enough": (who, { service: { loadBalancer } }) =>
    `The service goes only to endpoints of the caller's own ${listed(loadBalancer?.routingPreferences.map((each) => each.toLowerCase()) ?? [])} (mode Strict), which ${who} is not. Start one there, or use mode Failover.`,
  "no capacity": (who) => `Give ${who} a capacity above 0.`,
  "no application tunnel": (who, { port }) => `Add port ${port} to the service, or give ${who} an application tunnel.`
}

/** A waypoint or gateway that is named and not to be had. */
const onReference = (told: Told, steps: ReadonlyArray<Step>): ReadonlyArray<string> => {
  const via = steps.findLastIndex(({ _tag }) => _tag === "Via")
  const reference = steps[via]
  if (reference?._tag !== "Via") return []
  const balance = last(steps.slice(via), "Balance")
  if (balance !== undefined) return onBalance(told, balance)
  return [
    `Nothing in the mesh is at ${gatewayName(reference.reference)}. Add that ${reference.role}, or correct or remove where ${told.names.thing(reference.of)} names it.`
  ]
}

const onVerdict = (
  { destination, identity, source, steps, why }: Judgement,
  workload: Workload
): ReadonlyArray<string> => {
  const checked = steps.filter((step) => step._tag === "PolicyChecked")
  const advice: Array<string> = []
  const end = last(steps, "Judged")
  const who = identity === undefined ? `address ${source}` : `principal ${principal(identity)}`
  if (end?.because === "DeniedBy") {
    advice.push(
      `Change policy ${end.by?.key}, of which ${why.get(end.by?.key ?? "")?.[0]}. Or connect as somebody else than ${who}.`
    )
  }
  if (end?.because === "NoneAllowed") {
    const allow = checked.filter(({ policy }) => policy.action === "Allow" && !policy.dryRun)
    advice.push(
      `Let an ALLOW policy of ${workloadName(workload)} match source ${who} and destination port ${destination.port}. Its ${allow.length === 1 ? "only one is" : "ALLOW policies are"} ${listed(allow.map(({ policy }) => policy.key))}.`
    )
  }
  for (const { policy } of checked.filter(
    ({ matched, policy }) => matched && policy.dryRun && policy.action === "Deny"
  )) {
    advice.push(`Policy ${policy.key} is a dry run. Enforced, it would deny this.`)
  }
  if (end?.dryRunNoneAllowed === true) {
    const tried = checked.filter(({ policy }) => policy.dryRun && policy.action === "Allow")
    advice.push(
      `The only ALLOW policies are dry runs (${listed(tried.map(({ policy }) => policy.key))}), of which none matches. Enforced, they would deny this.`
    )
  }
  for (const { key } of steps.filter((step) => step._tag === "PolicyMissing")) {
    advice.push(
      `${workloadName(workload)} names policy ${key}, which the mesh does not have: nothing is enforced for it. Add it, or take the name away (authorizationPolicies).`
    )
  }
  return advice
}

const principal = (identity: string): string =>
  Result.isSuccess(parseIdentity(identity)) ? identity.slice("spiffe://".length) : identity

const onward = ({ request: { to } }: Told, waypoint: Workload): string => {
  const asked = to._tag === "Address" ? "the same address" : to.host
  return `What the waypoint sends on is a connection of its own: explain it with --from ${workloadName(waypoint)} and ${asked}.`
}

const onPlaintext = ({ far }: Told, workload: Workload, policies: number): ReadonlyArray<string> => {
  const missing = far._tag === "Plaintext" ? far.judgement.steps.some(({ _tag }) => _tag === "PolicyMissing") : false
  return policies > 0 || missing
    ? [
        `The policies of ${workloadName(workload)} need a node proxy before it. Bring it into the mesh (protocol HBONE).`
      ]
    : []
}

const onGateway = ({ far, outbound: { upstream } }: Told): ReadonlyArray<string> => {
  if (upstream?._tag !== "DoubleHbone" || upstream.identities.length > 0) return []
  const where = far._tag === "Gateway" ? networkName(far.network) : "the other network"
  return [
    `Give service ${serviceName(upstream.service)} the identities of those who answer for it on ${where} (subjectAltNames, SPIFFE ids). Without one, nobody is accepted behind the gateway.`
  ]
}

const onPassthrough = ({ outbound: { steps } }: Told): ReadonlyArray<string> =>
  steps
    .filter((step) => step._tag === "VipLookup")
    .flatMap(({ hidden }) => hidden ?? [])
    .slice(0, 1)
    .map(
      (hidden) =>
        `If service ${serviceName(hidden)} is meant: connect from namespace ${hidden.namespace}, or make it public (visibility).`
    )

const last = <Tag extends Step["_tag"]>(steps: ReadonlyArray<Step>, tag: Tag): StepOf<Tag> | undefined =>
  steps.findLast((step): step is StepOf<Tag> => step._tag === tag)
