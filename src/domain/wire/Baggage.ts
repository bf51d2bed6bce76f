/**
 * What a node proxy says of its workload in the `baggage` header (reference datapath §3.5): plain `key=value` members
 * joined by commas. The W3C format has percent-encoding, ztunnel does not decode it; so a value that would need it
 * (`,`, `=`, space, anything but visible ASCII) is left out, where ztunnel sends a list that reads as something else.
 * Baggage is a claim, not an identity: it is for telemetry only.
 */
import type { Workload } from "../mesh/Workload.ts"

/** Never an empty string: what is empty is absent. */
export interface Baggage {
  readonly clusterName?: string | undefined
  readonly namespace?: string | undefined
  /** deployment, cronjob, pod, job. */
  readonly workloadType?: string | undefined
  readonly workloadName?: string | undefined
  readonly serviceName?: string | undefined
  readonly serviceVersion?: string | undefined
  readonly region?: string | undefined
  readonly zone?: string | undefined
}

/** The header value for a workload; `""` if there is nothing to say (the header is sent all the same). */
export const baggageOf = (workload: Workload): string => {
  const known = headers.get(workload)
  if (known !== undefined) return known
  const header = formatBaggage({
    clusterName: workload.clusterId,
    namespace: workload.namespace,
    workloadType: workload.workloadType,
    workloadName: workload.workloadName,
    serviceName: workload.canonicalName,
    serviceVersion: workload.canonicalRevision,
    region: workload.locality.region,
    zone: workload.locality.zone
  })
  headers.set(workload, header)
  return header
}

/** Workloads do not change, they are replaced; and every connection asks. */
const headers = new WeakMap<Workload, string>()

/** A type that is none of the four becomes `deployment`, the API's own default: under another key no one finds the name. */
export const formatBaggage = (baggage: Baggage): string => {
  const type = TYPES.find((type) => type === baggage.workloadType) ?? "deployment"
  const members = [
    [CLUSTER, baggage.clusterName],
    [NAMESPACE, baggage.namespace],
    [`k8s.${type}.name`, baggage.workloadName],
    [SERVICE, baggage.serviceName],
    [VERSION, baggage.serviceVersion],
    [REGION, baggage.region],
    [ZONE, baggage.zone]
  ]
  return members
    .filter(([, value]) => value !== undefined && SAFE_VALUE.test(value))
    .map(([key, value]) => `${key}=${value}`)
    .join(",")
}

/**
 * All `baggage` lines of a request, in order; later members win, an empty value takes an earlier one back. Unknown keys
 * are ignored. A line that is not printable ASCII makes the whole empty. Spaces around members are dropped (RFC 9110
 * §5.6.1): Node joins repeated lines with `, `.
 */
export const parseBaggage = (headerLines: ReadonlyArray<string>): Baggage => {
  if (!headerLines.every((line) => PRINTABLE.test(line))) return {}
  const baggage: { -readonly [K in keyof Baggage]: Baggage[K] } = {}
  for (const member of headerLines.flatMap((line) => line.split(","))) {
    // a second `=` ends the value, as in ztunnel
    const [key = "", given = ""] = member.split("=", 2)
    const value = given.trim() || undefined
    switch (key.trim()) {
      case CLUSTER:
        baggage.clusterName = value
        break
      case NAMESPACE:
        baggage.namespace = value
        break
      case SERVICE:
        baggage.serviceName = value
        break
      case VERSION:
        baggage.serviceVersion = value
        break
      case REGION:
        baggage.region = value
        break
      case ZONE:
        baggage.zone = value
        break
      default: {
        const type = TYPES.find((type) => key.trim() === `k8s.${type}.name`)
        if (type === undefined) break
        baggage.workloadType = value === undefined ? undefined : type
        baggage.workloadName = value
      }
    }
  }
  return baggage
}

const CLUSTER = "k8s.cluster.name"
const NAMESPACE = "k8s.namespace.name"
const SERVICE = "service.name"
const VERSION = "service.version"
const REGION = "cloud.region"
const ZONE = "cloud.availability_zone"
const TYPES = ["deployment", "cronjob", "pod", "job"]
const SAFE_VALUE = /^[!-+\--<>-~]+$/
const PRINTABLE = /^[\t -~]*$/
