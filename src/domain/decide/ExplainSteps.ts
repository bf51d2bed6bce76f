/** Each step of a decision as lines for people. */
import type { PolicyKey } from "../mesh/Policy.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Names } from "./Explanation.ts"
import { gatewayName, listed, networkName, serviceName, workloadName } from "./ExplainWords.ts"
import { Step } from "./Trace.ts"

/** What lines need besides the step. */
export interface Telling {
  readonly source: Workload
  readonly names: Names
  /** Of a policy: why it matched, or why not. */
  readonly why: ReadonlyMap<PolicyKey, ReadonlyArray<string>>
}

/** Lines that belong to the one before are indented. */
export const linesOf = (step: Step, { names, source, why }: Telling): ReadonlyArray<string> =>
  Step.$match(step, {
    VipLookup: ({ found, hidden, ip, network }) => {
      const address = `${ip}${on(network)}`
      if (found !== undefined) return [`${address} is an address of service ${serviceName(found)}.`]
      if (hidden === undefined) return [`${address} is no service's address.`]
      return [
        `${address} is an address of service ${serviceName(hidden)}, which only namespace ${hidden.namespace} may see: for ${workloadName(source)} there is none.`
      ]
    },
    WorkloadLookup: ({ found, ip, network }) =>
      found === undefined
        ? [`${ip}${on(network)} is no workload's address.`]
        : [`${ip}${on(network)} is an address of workload ${workloadName(found)}.`],
    HostnameLookup: ({ found, hostname, namespace }) =>
      found === undefined
        ? [`Nothing has the hostname ${hostname} in namespace ${namespace}.`]
        : [`${hostname} is the hostname of ${thing(found)}.`],
    PassthroughMode: ({ service }) => [
      `Service ${serviceName(service)} leaves the destination as it is (mode Passthrough): none of its endpoints is chosen.`
    ],
    Via: ({ of, reference, role, weighted }) => [
      `${capital(names.thing(of))} is behind a ${role}${weighted ? " (drawn among several, by weight)" : ""}: ${gatewayName(reference)}.`
    ],
    ViaResolved: ({ role, service, workload }) => [
      `That ${role} is workload ${workloadName(workload)}${service === undefined ? "" : `, of service ${serviceName(service)}`}.`
    ],
    ViaNotFound: ({ reference, role }) => [`No ${role} was found at ${gatewayName(reference)}.`],
    FromWaypoint: ({ waypoint }) => [
      `${workloadName(waypoint)} is a waypoint of what is asked for: its own connections go on to the destination.`
    ],
    Balance: (step) => balanceLines(step, names),
    AddressChosen: ({ byName, ip, workload }) =>
      byName
        ? [
            `${workloadName(workload)} has no address but a hostname, ${workload.hostname}: DNS is asked, and what it answers is dialled.`
          ]
        : [`Of ${workloadName(workload)}, the address ${ip} is dialled.`],
    OtherNetwork: ({ network, workload }) => [
      `${workloadName(workload)} is on ${networkName(workload.network)}, ${workloadName(source)} on ${networkName(network)}: the way leads through a gateway.`
    ],
    Inbound: ({ authority, service, target, tunnel }) => [
      `It is asked for ${names.authority(authority)}, and would bring that to ${names.address(target)}${service === undefined ? "" : ` (counted for service ${serviceName(service)})`}${TUNNEL[tunnel]}.`
    ],
    AsWaypoint: ({ accepted, authority, of }) => {
      if (of === undefined) return [`It is asked for ${authority}, which nobody in the mesh has.`]
      return [
        `It is asked for ${authority}, an address of ${thing(of)}, ${accepted ? "which names it as its waypoint" : "which does not name it as its waypoint"}.`
      ]
    },
    PolicyMissing: ({ key }) => [`Policy ${key}: not in the mesh, skipped.`],
    PolicyChecked: ({ matched, policy }) => {
      const kind = `${policy.action.toUpperCase()}${policy.dryRun ? ", dry run" : ""}`
      const because = why.get(policy.key) ?? []
      const head = `Policy ${policy.key} (${kind}) ${matched ? "matches" : "does not match"}`
      return [because.length === 0 ? `${head}.` : `${head}:`, ...because.map((line) => `${INDENT}${line}`)]
    },
    Judged: ({ because, by, workload }) => {
      switch (because) {
        case "DeniedBy":
          return [`So it is denied, by ${by?.key}.`]
        case "AllowedBy":
          return [`So it is allowed, by ${by?.key}.`]
        case "NoAllowPolicies":
          return [`No ALLOW policy applies to ${workloadName(workload)}, so whatever is not denied is allowed.`]
        case "NoneAllowed":
          return [`There are ALLOW policies for ${workloadName(workload)} and none of them matches, so it is denied.`]
      }
    }
  })

const balanceLines = (
  { chosen, eligible, port, portKnown, service, skipped, targetPort }: Extract<Step, { readonly _tag: "Balance" }>,
  names: Names
): ReadonlyArray<string> => {
  const name = `service ${serviceName(service)}`
  const to = chosen === undefined ? "" : `${workloadName(chosen)}, port ${targetPort}`
  const lines: Array<string> = []
  if (!portKnown)
    lines.push(`Port ${port} is none of ${name}; it has ${listed(Array.from(service.ports.keys(), String)) || "none"}.`)
  if (eligible.length > 1) {
    const total = eligible.reduce((sum, { capacity }) => sum + capacity, 0)
    lines.push(
      `Port ${port} of ${name} goes to one of these, in proportion to capacity:`,
      ...some(eligible, ({ capacity, uid }) => `${names.workload(uid)}: ${percent(capacity / total)}`),
      `Followed here: ${to}.`
    )
  } else if (chosen !== undefined) {
    lines.push(`Port ${port} of ${name} goes to ${to}.`)
  } else if (portKnown)
    lines.push(skipped.length === 0 ? `${capital(name)} has no endpoints.` : `Nobody can take port ${port} of ${name}.`)
  if (skipped.length > 0)
    lines.push("Left out:", ...some(skipped, ({ why, workload }) => `${names.workload(workload.uid)}: ${why}`))
  return lines
}

const some = <A>(all: ReadonlyArray<A>, line: (each: A) => string): ReadonlyArray<string> => {
  const rest = all.length - SHOWN
  const lines = all.slice(0, SHOWN).map((each) => `${INDENT}${line(each)}`)
  return rest > 0 ? [...lines, `${INDENT}and ${rest} more`] : lines
}

const percent = (share: number): string => (share < 0.01 ? "less than 1 %" : `${Math.round(share * 100)} %`)

const capital = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}`

const on = (network: string): string => (network === "" ? "" : ` on ${networkName(network)}`)

const thing = (found: Service | Workload): string =>
  "vips" in found ? `service ${serviceName(found)}` : `workload ${workloadName(found)}`

const TUNNEL = {
  None: "",
  Port: ", through the application tunnel",
  ProxyProtocol: ", through the application tunnel, after a PROXY header"
}

export const INDENT = "   "
const SHOWN = 10
