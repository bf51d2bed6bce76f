/** One entry of `workloads` in a mesh file (reference state §7). */
import * as Result from "effect/Result"
import { DEFAULTS, WORKLOAD_TYPES } from "../xds/WorkloadMessage.ts"
import { gateway, ip, policyKeyText, port, ports, serviceKeyText } from "./MeshFileFields.ts"
import type { ApplicationTunnel, Locality, Workload } from "./Workload.ts"
import {
  dictionary,
  flag,
  integer,
  list,
  mapping,
  oneOf,
  optional,
  parsed,
  type Read,
  required,
  text
} from "./YamlReader.ts"

type Entry = Omit<Workload, "ips"> & { readonly workloadIps: Workload["ips"] }

const name = optional(text, "")

const locality = mapping<Locality>({ region: required(text), zone: required(text), subzone: required(text) })

const applicationTunnel = mapping<ApplicationTunnel>({
  protocol: required(oneOf("NONE", "PROXY")),
  // 0 is how the control plane says "not set"
  port: optional((place) => Result.map(port(place), (port) => port || undefined), undefined)
})

/** It is the key of everything: workloads without one would be one workload. */
const uid: Read<string> = parsed(
  (value) => value || undefined,
  "a text that no other workload has, such as cluster1//Pod/shop/web-0,"
)

const workloadType: Read<string> = parsed((value) => {
  const type = value.toLowerCase() || WORKLOAD_TYPES[0]
  return WORKLOAD_TYPES.find((known) => known === type)
}, WORKLOAD_TYPES.join(" or "))

const entry = mapping<Entry>({
  workloadIps: required(list(ip)),
  namespace: required(text),
  services: required(dictionary(serviceKeyText, ports)),
  uid: required(uid),
  name,
  serviceAccount: name,
  trustDomain: name,
  network: name,
  hostname: name,
  node: name,
  clusterId: name,
  workloadName: name,
  workloadType: optional(workloadType, WORKLOAD_TYPES[0]),
  canonicalName: name,
  canonicalRevision: name,
  protocol: optional(oneOf("TCP", "HBONE"), "TCP"),
  networkMode: optional(oneOf("Standard", "HostNetwork"), "Standard"),
  status: optional(oneOf("Healthy", "Unhealthy"), "Healthy"),
  waypoint: optional(gateway, undefined),
  networkGateway: optional(gateway, undefined),
  nativeTunnel: optional(flag, false),
  applicationTunnel: optional(applicationTunnel, undefined),
  authorizationPolicies: optional(list(policyKeyText), []),
  locality: optional(locality, { region: "", zone: "", subzone: "" }),
  capacity: optional(integer(2 ** 32 - 1), 1)
})

/**
 * ztunnel leaves the defaults of xDS out when it reads a file, which gives identities such as `spiffe:///ns/…` that no
 * certificate has (reference state §10, 32). Here both sources give the same workload.
 */
export const workload: Read<Workload> = (place) =>
  Result.map(entry(place), ({ workloadIps, ...rest }) => ({
    ...rest,
    ips: workloadIps,
    trustDomain: rest.trustDomain || DEFAULTS.trustDomain,
    serviceAccount: rest.serviceAccount || DEFAULTS.serviceAccount,
    clusterId: rest.clusterId || DEFAULTS.clusterId
  }))
