/**
 * What ztunnel has and weft does not have yet. A setting that would change what happens is refused, never ignored; one
 * that changes nothing without the missing part is accepted and noted.
 */
import type { ConfigIssue } from "./ConfigErrors.ts"
import { valueOf, type Environment, type EnvironmentName, type Variables } from "./Environment.ts"
import type { IstioProxyConfig } from "./IstioProxyConfig.ts"
import { BOOLEAN_EXPECTED, parseBoolean } from "./Setting.ts"

export const refusals = (
  variables: Variables,
  environment: Environment,
  config: IstioProxyConfig,
  dnsCapture: string | undefined
): ReadonlyArray<ConfigIssue> => {
  const issues: Array<ConfigIssue> = []
  const refuse = (name: string, given: string | undefined, problem: string) => issues.push({ name, given, problem })
  const refuseGiven = (name: EnvironmentName, isRefused: boolean, problem: string) => {
    if (isRefused) refuse(name, valueOf(variables, name), problem)
  }
  refuseGiven(
    "PROXY_MODE",
    environment.PROXY_MODE === "shared",
    "shared mode, ztunnel's default, is not there yet: set PROXY_MODE=dedicated"
  )
  refuseGiven(
    "XDS_ADDRESS",
    environment.XDS_ADDRESS !== undefined,
    "a control plane cannot be used yet: leave it out or empty, and give the mesh as a file in LOCAL_XDS_PATH"
  )
  // an XDS_ADDRESS, empty or not, overrides the discovery address
  if (config.discoveryAddress && variables["XDS_ADDRESS"] === undefined) {
    refuse(
      "discoveryAddress",
      config.discoveryAddress,
      "a control plane cannot be used yet: leave it out of the proxy config, or set XDS_ADDRESS to nothing to override it"
    )
  }
  refuseGiven(
    "CA_ADDRESS",
    environment.CA_ADDRESS !== undefined,
    "a certificate authority cannot be used yet: leave it out, certificates come from the embedded one"
  )
  refuseGiven(
    "FAKE_CA",
    environment.FAKE_CA === false && environment.WEFT_CA_CERT === undefined,
    "certificates can only come from the embedded CA yet: leave it out, or give that CA a root of yours in WEFT_CA_CERT and WEFT_CA_KEY"
  )
  refuseGiven("XDS_ON_DEMAND", environment.XDS_ON_DEMAND, "on-demand state is not there yet: leave it out")
  refuseGiven(
    "CRL_PATH",
    environment.CRL_PATH !== undefined,
    "revoked certificates are not checked yet: leave it out if you can do without"
  )
  refuseGiven(
    "ENABLE_ORIG_SRC",
    environment.ENABLE_ORIG_SRC === true,
    "keeping the original source address is not there yet: leave it out, or set it to false"
  )
  if (dnsCapture !== undefined) {
    const capture = parseBoolean(dnsCapture)
    if (capture === undefined) refuse("ISTIO_META_DNS_CAPTURE", dnsCapture, BOOLEAN_EXPECTED)
    if (capture === true) {
      refuse("ISTIO_META_DNS_CAPTURE", dnsCapture, "the DNS proxy is not there yet: leave it out, or set it to false")
    }
  }
  return issues
}

export const notes = (
  variables: Variables,
  config: IstioProxyConfig,
  dnsCapture: string | undefined
): ReadonlyArray<string> => {
  const said: Array<string> = []
  if (dnsCapture === undefined) {
    said.push(
      "the DNS proxy is not there yet, so DNS is not captured; ISTIO_META_DNS_CAPTURE=false says that this is meant"
    )
  }
  const idle = Object.keys(variables)
    .filter((name) => IDLE.has(name) || IDLE_PREFIXES.some((prefix) => name.startsWith(prefix)))
    .filter((name) => valueOf(variables, name) !== undefined)
    .concat(["proxyAdminPort", "statsPort"].filter((name) => name in config))
    .toSorted()
  if (idle.length > 0) said.push(`without effect in this version: ${idle.join(", ")}`)
  return said
}

/** Families of variables, `<prefix><key>`. */
export const IDLE_PREFIXES = ["ISTIO_METAJSON_", "XDS_HEADER_", "CA_HEADER_"] as const

const IDLE: ReadonlySet<string> = new Set<EnvironmentName>([
  "ISTIO_META_DNS_PROXY_ADDR",
  "PREFERED_SERVICE_NAMESPACE",
  "XDS_ROOT_CA",
  "CA_ROOT_CA",
  "ALT_XDS_HOSTNAME",
  "ALT_CA_HOSTNAME",
  "AUTH_TOKEN",
  "POD_NAMESPACE",
  "POD_NAME",
  "SERVICE_ACCOUNT",
  "INSTANCE_IP",
  "INPOD_UDS",
  "INPOD_PORT_REUSE"
])
