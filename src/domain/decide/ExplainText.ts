/** An explanation as an answer: the outcome in one line, what to change, then how it came about, first here, then there. */
import { formatSocketAddress } from "../Address.ts"
import { describe, httpStatus, Reason } from "../connection/ProxyError.ts"
import type { Spiffe } from "../Identity.ts"
import { identityOf } from "../mesh/Workload.ts"
import { formatAuthority } from "../wire/Authority.ts"
import { type Explanation, FarSide, type Judgement, type Outcome } from "./Explanation.ts"
import { problemOf } from "./ExplainProblem.ts"
import { INDENT, linesOf } from "./ExplainSteps.ts"
import { listed, networkName, serviceName, workloadName } from "./ExplainWords.ts"
import type { Step } from "./Trace.ts"
import { Upstream } from "./Upstream.ts"

/** Whether the connection would be carried: as far as weft decides. */
export const isCarried = (outcome: Outcome): boolean => outcome !== "DENIED" && outcome !== "NO ROUTE"

export const explanationText = (told: Explanation): string => {
  const { advice, outcome } = told
  const there = farSideLines(told)
  return [
    headline(told),
    ...section(isCarried(outcome) ? "Worth knowing" : "What to change", advice),
    ...section("1. Where it goes", [...askedLines(told), ...outboundLines(told)]),
    ...section("2. What the other side says", there)
  ].join("\n")
}

const section = (title: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length === 0 ? [] : ["", title, ...lines.map((line) => `${INDENT}${line}`)]

const headline = (told: Explanation): string => {
  const { outcome, request } = told
  return `${outcome}  ${workloadName(request.source)} → ${formatAuthority(request.to)}${sequel(told)}`
}

const sequel = ({ asked, far, names, outbound: { failed, steps, upstream }, outcome }: Explanation): string => {
  if (outcome === "PASSTHROUGH") return ", straight through, as if there were no mesh"
  if (asked._tag === "NoAddress") return ": the name has no address"
  if (failed !== undefined) return `: ${problemOf(failed, steps, names)}`
  return FarSide.$match(far, {
    NotReached: () => "",
    Outside: () => "",
    NodeProxy: ({ failed, judgement, steps, waypoint, workload }) => {
      if (failed !== undefined) return `: ${problemOf(failed, steps, names)}`
      const by = deniedBy(judgement)
      if (judgement?.allowed === false) {
        return by === undefined ? `: no policy of ${workloadName(workload)} allows it` : `: policy ${by} forbids it`
      }
      if (waypoint) return `, to its waypoint ${workloadName(workload)}, which decides the rest`
      return `, to ${workloadName(workload)} over HBONE`
    },
    Itself: ({ waypoint, workload }) =>
      waypoint
        ? `, to its waypoint ${workloadName(workload)}, which decides the rest`
        : `, to ${workloadName(workload)}, which decides for itself`,
    Gateway: ({ gateway, network }) =>
      outcome === "NO ROUTE"
        ? `: nobody is accepted behind the gateway of ${networkName(network)}`
        : `, to ${workloadName(gateway)}, the gateway of ${networkName(network)}`,
    Plaintext: ({ policies, workload }) => {
      const address = upstream?._tag === "Direct" ? ` (${names.address(upstream.address)})` : ""
      const open = policies > 0 ? ", where its policies are not enforced" : ""
      return `, to ${workloadName(workload)}${address} in plain TCP${open}`
    }
  })
}

const askedLines = ({
  asked,
  names,
  request: { network: proxied, source },
  sourceIp
}: Explanation): ReadonlyArray<string> => {
  const network = source.network === "" ? "" : ` on ${networkName(source.network)}`
  const from = source.ips.length === 0 ? "" : ` from ${sourceIp}${network}`
  const lines = [`${workloadName(source)} connects${from}, as ${identityOf(source)}.`]
  if (source.protocol === "TCP") {
    lines.push("In this mesh it does not speak HBONE: what follows holds only if a proxy serves it all the same.")
  }
  if (proxied !== source.network) {
    lines.push(
      `Its proxy is on ${networkName(proxied)} (NETWORK), the workload on ${networkName(source.network)}: is that right?`
    )
  }
  switch (asked._tag) {
    case "Address":
      break
    case "Vip": {
      const { hidden, hostname, service, target } = asked
      lines.push(
        hidden
          ? `${hostname} is service ${serviceName(service)}, which only namespace ${service.namespace} may see. Where DNS answers all the same, it is with ${target.ip}.`
          : `${hostname} is service ${serviceName(service)}: DNS answers ${target.ip}.`
      )
      break
    }
    case "Headless": {
      const { hostname, others, service, target, workload } = asked
      lines.push(
        `${hostname} is service ${serviceName(service)}. It has no address: DNS answers with those of its endpoints.`
      )
      lines.push(
        others === 0
          ? `There is one, ${workloadName(workload)} at ${names.address(target)}. Its port is not translated.`
          : `The first of ${others + 1} is ${workloadName(workload)} at ${names.address(target)}, followed here. Ports are not translated.`
      )
      break
    }
    case "WorkloadName":
      lines.push(
        `${asked.hostname} is the hostname of workload ${workloadName(asked.workload)}: DNS answers ${asked.target.ip}.`
      )
      break
    case "NoAddress": {
      const of = "vips" in asked.of ? `service ${serviceName(asked.of)}` : `workload ${workloadName(asked.of)}`
      lines.push(`${asked.hostname} is ${of}, for which the mesh has no address.`)
      if (asked.external) lines.push(DNS_DECIDES)
      break
    }
    case "UnknownName":
      lines.push(`The mesh does not know the name ${asked.hostname}.`, DNS_DECIDES)
  }
  return lines
}

const DNS_DECIDES =
  "DNS outside the mesh is asked. An address of the mesh would be routed as that address is; any other is connected to directly."

const outboundLines = (told: Explanation): ReadonlyArray<string> => {
  const { failed, steps, upstream } = told.outbound
  const lines = stepLines(told, steps, new Map())
  if (upstream !== undefined) return [...lines, ...routeLines(told, upstream)]
  return failed === undefined ? lines : [...lines, ...failureLines(failed)]
}

const failureLines = (failed: Reason): ReadonlyArray<string> => [
  `So the connection is closed. The access log has error="${describe(failed)}".`
]

const stepLines = (
  { names, request: { source } }: Explanation,
  steps: ReadonlyArray<Step>,
  why: Judgement["why"]
): ReadonlyArray<string> => {
  const lines = steps.flatMap((step) => linesOf(step, { names, source, why }))
  // two networks that are one are asked once
  return lines.filter((line, index) => line.startsWith(INDENT) || line !== lines[index - 1])
}

const routeLines = ({ far, names }: Explanation, upstream: Upstream): ReadonlyArray<string> =>
  Upstream.$match(upstream, {
    Passthrough: ({ target }) => [`It is connected to ${formatSocketAddress(target)} in plain TCP, as it asked.`],
    Direct: ({ address }) => [`It is connected to ${names.address(address)} in plain TCP: no encryption, no identity.`],
    Hbone: ({ authority, identities, nextHop }) => [
      `A tunnel (HBONE) is opened to ${names.address(nextHop)}, and asked for ${names.authority(authority)}.`,
      `Who answers there has to be ${anyOf(identities)}.`
    ],
    DoubleHbone: ({ authority, gatewayIdentities, identities, nextHop }) => [
      `A tunnel (HBONE) is opened to the gateway at ${names.address(nextHop)}, and asked for ${authority}.`,
      `Who answers there has to be ${anyOf(gatewayIdentities)}.`,
      `In it is opened a second one, to whomever the gateway chooses${far._tag === "Gateway" ? ` on ${networkName(far.network)}` : ""}, for ${authority} too.`,
      identities.length === 0
        ? "Who answers there would have to be one of the service's alternative names, of which there are none: nobody is accepted."
        : `Who answers there has to be ${anyOf(identities)}.`
    ]
  })

const farSideLines = (told: Explanation): ReadonlyArray<string> =>
  FarSide.$match(told.far, {
    NotReached: () => [],
    Outside: () => ["Nobody of the mesh is known to be there, so no policy of the mesh applies."],
    NodeProxy: ({ failed, judgement, steps, workload }) => {
      const lines = [
        `The node proxy of ${workloadName(workload)} takes the tunnel.`,
        ...stepLines(told, steps, new Map())
      ]
      if (failed !== undefined) return [...lines, ...refusedLines(httpStatus(failed), failed)]
      return judgement === undefined ? lines : [...lines, ...verdictLines(told, judgement)]
    },
    Itself: ({ waypoint, workload }) =>
      waypoint
        ? [
            `The waypoint ${workloadName(workload)} ends the tunnel and takes over: its own policies, of layer 7 too, decide what goes on to where.`
          ]
        : [`${workloadName(workload)} ends the tunnel itself (native tunnel): no node proxy decides before it.`],
    Gateway: ({ gateway, network }) => [
      `The gateway ${workloadName(gateway)} ends the outer tunnel and sees who asks, and for what. It chooses who answers on ${networkName(network)}.`,
      "Whoever that is ends the inner tunnel, and decides by the policies there, which this mesh does not know."
    ],
    Plaintext: ({ judgement, policies, workload }) => plaintextLines(told, judgement, policies, workloadName(workload))
  })

const verdictLines = (told: Explanation, judgement: Judgement): ReadonlyArray<string> => {
  const { allowed, destination, identity, source, steps } = judgement
  const lines = [
    `It sees ${identity ?? "no identity"} from ${told.names.ip(source)}, for ${told.names.address(destination)}.`,
    ...stepLines(told, steps, judgement.why)
  ]
  const by = deniedBy(judgement)
  return allowed ? lines : [...lines, ...refusedLines(401, Reason.PolicyRejected({ by }))]
}

const refusedLines = (status: number, reason: Reason): ReadonlyArray<string> => [
  `The access log there has error="${describe(reason)}", the one here error="${describe(Reason.HttpStatus({ status }))}".`
]

const plaintextLines = (
  told: Explanation,
  judgement: Judgement,
  policies: number,
  name: string
): ReadonlyArray<string> => {
  const lines = [
    `${name} does not speak HBONE (protocol TCP): as far as the mesh says, no node proxy stands before it.`
  ]
  if (policies === 0) return [...lines, "No policy applies to it."]
  return [
    ...lines,
    "Policies apply to it, and then nobody enforces them.",
    "The mesh cannot tell whether a node proxy captures its connections all the same. If one does, it judges this one without an identity:",
    ...stepLines(told, judgement.steps, judgement.why)
  ]
}

const deniedBy = (judgement: Judgement | undefined): string | undefined => {
  const end = judgement?.steps.findLast((step) => step._tag === "Judged")
  return end?._tag === "Judged" && end.because === "DeniedBy" ? end.by?.key : undefined
}

const anyOf = (identities: ReadonlyArray<Spiffe>): string => listed(identities, "or", 8)
