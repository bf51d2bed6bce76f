/** One entry of `workloads` in a mesh file (reference state §7). */
import * as Result from "effect/Result"
import { gateway, ip, port, ports, refused, serviceKeyText } from "./MeshFileFields.ts"
import type { ApplicationTunnel, Locality, Workload } from "./Workload.ts"
import { dictionary, flag, integer, list, mapping, oneOf, optional, type Read, required, text } from "./YamlReader.ts"

type Entry = Omit<Workload, "ips"> & { readonly workloadIps: Workload["ips"] }

const name = optional(text, "")

const locality = mapping<Locality>({ region: required(text), zone: required(text), subzone: required(text) })

const applicationTunnel = mapping<ApplicationTunnel>({
  protocol: required(oneOf("NONE", "PROXY")),
  port: optional(port, undefined)
})

const entry = mapping<Entry>({
  workloadIps: required(list(ip)),
  namespace: required(text),
  services: required(dictionary(serviceKeyText, ports)),
  uid: name,
  name,
  serviceAccount: name,
  trustDomain: name,
  network: name,
  hostname: name,
  node: name,
  clusterId: name,
  workloadName: name,
  workloadType: name,
  canonicalName: name,
  canonicalRevision: name,
  protocol: optional(oneOf("TCP", "HBONE"), "TCP"),
  networkMode: optional(oneOf("Standard", "HostNetwork"), "Standard"),
  status: optional(oneOf("Healthy", "Unhealthy"), "Healthy"),
  waypoint: optional(gateway, undefined),
  networkGateway: optional(gateway, undefined),
  nativeTunnel: optional(flag, false),
  applicationTunnel: optional(applicationTunnel, undefined),
  authorizationPolicies: optional(refused("authorization policies of a workload are"), []),
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
    trustDomain: rest.trustDomain || "cluster.local",
    serviceAccount: rest.serviceAccount || "default",
    clusterId: rest.clusterId || "Kubernetes",
    workloadType: rest.workloadType.toLowerCase()
  }))
