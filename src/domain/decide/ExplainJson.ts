/** An explanation as plain data for `jq`; docs/explain.md says what each field holds. Fields are added, never renamed. */
import { formatSocketAddress } from "../Address.ts"
import { describe } from "../connection/ProxyError.ts"
import type { WorkloadFacts } from "../mesh/Mesh.ts"
import type { Policy, PolicyKey } from "../mesh/Policy.ts"
import { type Service, serviceKey } from "../mesh/Service.ts"
import { type GatewayAddress, identityOf, type Workload } from "../mesh/Workload.ts"
import { formatAuthority } from "../wire/Authority.ts"
import { type Asked, type Explanation, FarSide, type Judgement, type Names } from "./Explanation.ts"
import { Step } from "./Trace.ts"
import { Upstream } from "./Upstream.ts"

export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

export const explanationJson = (told: Explanation): { readonly [key: string]: Json } => {
  const { advice, asked, names, outbound, outcome, request, sourceIp } = told
  const { far } = told
  const failed = outbound.failed ?? (far._tag === "NodeProxy" ? far.failed : undefined)
  return {
    from: { ...workloadJson(request.source), address: request.source.ips.length === 0 ? null : sourceIp },
    to: { asked: formatAuthority(request.to), ...askedJson(asked, names) },
    outcome,
    advice,
    error: failed === undefined ? null : { reason: failed._tag, text: describe(failed) },
    route: outbound.upstream === undefined ? null : routeJson(outbound.upstream, names),
    destination: farJson(far),
    steps: [
      ...outbound.steps.map((step) => ({ at: "source", ...stepJson(step, names, NO_WHY) })),
      ...farSteps(far, names)
    ]
  }
}

type Fields = { readonly [key: string]: Json }

const askedJson = (asked: Asked, names: Names): Fields => ({
  means: asked._tag,
  hostname: "hostname" in asked ? asked.hostname : null,
  address: "target" in asked ? names.address(asked.target) : null
})

const workloadJson = (workload: Workload): Fields => ({
  workload: `${workload.namespace}/${workload.name}`,
  uid: workload.uid,
  network: workload.network,
  identity: identityOf(workload)
})

const routeJson = (upstream: Upstream, names: Names): Fields =>
  Upstream.$match(upstream, {
    Passthrough: ({ target }): Fields => ({ kind: "Passthrough", nextHop: formatSocketAddress(target) }),
    Direct: ({ address, service, workload }): Fields => ({
      kind: "Direct",
      nextHop: names.address(address),
      workload: workloadJson(workload),
      service: keyOf(service)
    }),
    Hbone: ({ authority, identities, nextHop, service, workload }): Fields => ({
      kind: "Hbone",
      nextHop: names.address(nextHop),
      authority: names.authority(authority),
      workload: workloadJson(workload),
      service: keyOf(service),
      identities
    }),
    DoubleHbone: ({ authority, gateway, gatewayIdentities, identities, nextHop, service }): Fields => ({
      kind: "DoubleHbone",
      nextHop: names.address(nextHop),
      authority,
      gateway: workloadJson(gateway),
      gatewayIdentities,
      service: keyOf(service),
      identities
    })
  })

const farJson = (far: FarSide): Fields =>
  FarSide.$match(far, {
    NotReached: (): Fields => ({ kind: "NotReached" }),
    Outside: (): Fields => ({ kind: "Outside" }),
    NodeProxy: ({ judgement, waypoint, workload }): Fields => ({
      kind: "NodeProxy",
      workload: workloadJson(workload),
      waypoint,
      verdict: judgement === undefined ? null : verdictJson(judgement)
    }),
    Itself: ({ waypoint, workload }): Fields => ({ kind: "Itself", workload: workloadJson(workload), waypoint }),
    Gateway: ({ gateway, network }): Fields => ({ kind: "Gateway", workload: workloadJson(gateway), network }),
    Plaintext: ({ judgement, policies, workload }): Fields => ({
      kind: "Plaintext",
      workload: workloadJson(workload),
      enforced: false,
      policies,
      verdict: verdictJson(judgement)
    })
  })

const verdictJson = ({ allowed, destination, identity, source, steps }: Judgement): Fields => {
  const end = steps.findLast((step) => step._tag === "Judged")
  return {
    allowed,
    because: end?._tag === "Judged" ? end.because : null,
    by: end?._tag === "Judged" ? (end.by?.key ?? null) : null,
    source,
    identity: identity ?? null,
    destination: formatSocketAddress(destination)
  }
}

const farSteps = (far: FarSide, names: Names): ReadonlyArray<Json> => {
  const inbound = far._tag === "NodeProxy" ? far.steps : []
  const judgement = "judgement" in far ? far.judgement : undefined
  return [...inbound, ...(judgement?.steps ?? [])].map((step) => ({
    at: "destination",
    ...stepJson(step, names, judgement?.why ?? NO_WHY)
  }))
}

const stepJson = (step: Step, names: Names, why: Judgement["why"]): Fields => ({
  step: step._tag,
  ...Step.$match(step, {
    VipLookup: ({ found, hidden, ip, network }): Fields => ({
      network,
      ip,
      found: keyOf(found),
      hidden: keyOf(hidden)
    }),
    WorkloadLookup: ({ found, ip, network }): Fields => ({ network, ip, found: found?.uid ?? null }),
    HostnameLookup: ({ found, hostname, namespace }): Fields => ({ namespace, hostname, found: anyKey(found) }),
    PassthroughMode: ({ service }): Fields => ({ service: serviceKey(service) }),
    Via: ({ of, reference, role, weighted }): Fields => ({ role, of, reference: gatewayJson(reference), weighted }),
    ViaResolved: ({ role, service, workload }): Fields => ({ role, workload: workload.uid, service: keyOf(service) }),
    ViaNotFound: ({ reference, role }): Fields => ({ role, reference: gatewayJson(reference) }),
    FromWaypoint: ({ waypoint }): Fields => ({ waypoint: waypoint.uid }),
    Balance: ({ chosen, eligible, port, portKnown, service, skipped, targetPort }): Fields => ({
      service: serviceKey(service),
      port,
      portKnown,
      eligible: eligible.map(candidateJson),
      skipped: skipped.map(({ why, workload }) => ({ ...candidateJson(workload), why })),
      chosen: chosen?.uid ?? null,
      targetPort: targetPort ?? null
    }),
    AddressChosen: ({ byName, ip, workload }): Fields => ({
      workload: workload.uid,
      address: byName ? workload.hostname : ip,
      byName
    }),
    OtherNetwork: ({ network, workload }): Fields => ({
      workload: workload.uid,
      network: workload.network,
      from: network
    }),
    Inbound: ({ authority, service, target, tunnel, workload }): Fields => ({
      workload: workload.uid,
      authority: names.authority(authority),
      target: names.address(target),
      service: keyOf(service),
      tunnel
    }),
    AsWaypoint: ({ accepted, authority, of }): Fields => ({ authority, of: anyKey(of), accepted }),
    PolicyMissing: ({ key, workload }): Fields => ({ workload: workload.uid, policy: key }),
    PolicyChecked: ({ matched, policy }): Fields => ({ ...policyJson(policy), matched, why: whyText(why, policy.key) }),
    Judged: ({ allowed, because, by, dryRunNoneAllowed, identity, workload }): Fields => ({
      workload: workload.uid,
      identity: identity ?? null,
      allowed,
      because,
      by: by?.key ?? null,
      dryRunNoneAllowed
    })
  })
})

const candidateJson = ({ capacity, uid }: WorkloadFacts): Fields => ({ workload: uid, capacity })

const policyJson = ({ action, dryRun, key, scope }: Policy): Fields => ({ policy: key, action, scope, dryRun })

const whyText = (why: Judgement["why"], key: PolicyKey): ReadonlyArray<string> => why.get(key) ?? []

const gatewayJson = ({ destination, hboneMtlsPort }: GatewayAddress): Json => ({
  destination:
    destination._tag === "Address"
      ? `${destination.network}/${destination.ip}`
      : `${destination.namespace}/${destination.hostname}`,
  hboneMtlsPort
})

const keyOf = (service: Service | undefined): string | null => (service === undefined ? null : serviceKey(service))

const anyKey = (found: Service | Workload | undefined): string | null =>
  found === undefined ? null : "vips" in found ? serviceKey(found) : found.uid

const NO_WHY: Judgement["why"] = new Map()
