/** The texts under which a mesh is searched. Kept in great numbers, hence flat: `join` copies, a template only refers. */
import type { Ip } from "../Address.ts"
import type { WorkloadInfo } from "./Workload.ts"

/** No IP holds a slash, so it is plain where the network ends. */
export const addressKey = (network: string, ip: Ip): string => [network, ip].join("/")

/** Hostnames are one without regard to case or a final dot (reference state §10, 39). */
export const hostText = (hostname: string): string =>
  (hostname.endsWith(".") ? hostname.slice(0, -1) : hostname).toLowerCase()

export const hostKey = (namespace: string, hostname: string): string => [namespace, hostText(hostname)].join("/")

export const infoKey = ({ name, namespace, serviceAccount }: WorkloadInfo): string =>
  [namespace, serviceAccount, name].join("/")

export const identityKey = (namespace: string, serviceAccount: string): string => [namespace, serviceAccount].join("/")
