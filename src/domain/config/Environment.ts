/**
 * The environment variables that weft knows: their names, types and defaults (reference ops §2.2). A value is trimmed;
 * an empty one counts as not set. What the values mean together is ConfigSchema's.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { ConfigIssue } from "./ConfigErrors.ts"
import { Filter, Flag, IpAddress, Millis, OneOf, Port, Text, Whole, Workload } from "./Setting.ts"

const or = <S extends Schema.Codec<unknown, string>>(schema: S, text: string) =>
  schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(text)))
const unset = Schema.optionalKey

// Node's timers end at 2^31 - 1 ms, a little under 25 days
const Deadline = Millis("1ms", "24d")
// limits of the kernel's TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT
const KeepaliveTime = Millis("1s", "32767s")
const U32 = Whole(0, 4_294_967_295)

const Environment = Schema.Struct({
  // what runs
  ENABLE_PROXY: or(Flag, "true"),
  PROXY_MODE: or(OneOf(["shared", "dedicated"]), "shared"),
  PROXY_WORKLOAD_INFO: unset(Workload),
  UNSTABLE_ENABLE_SOCKS5: or(Flag, "false"),
  ZTUNNEL_WORKER_THREADS: unset(Text),
  ZTUNNEL_CPU_LIMIT: unset(Text),
  ZTUNNEL_RESOURCE_CPU_LIMIT: unset(Text),
  ZTUNNEL_RESOURCE_CPU_REQUEST: unset(Text),
  // who we are
  NETWORK: or(Text, ""),
  NODE_NAME: unset(Text),
  CLUSTER_ID: unset(Text),
  ISTIO_META_CLUSTER_ID: unset(Text),
  CLUSTER_DOMAIN: or(Text, "cluster.local"),
  TRUST_DOMAIN: or(Text, "cluster.local"),
  // the mesh
  LOCAL_XDS_PATH: unset(Text),
  LOCAL_XDS: unset(Text),
  XDS_ADDRESS: unset(Text),
  XDS_ON_DEMAND: or(Flag, "false"),
  // certificates
  FAKE_CA: unset(Flag),
  CA_ADDRESS: unset(Text),
  WEFT_CA_CERT: unset(Text),
  WEFT_CA_KEY: unset(Text),
  SECRET_TTL: or(Millis("1m", "10y"), "24h"),
  CRL_PATH: unset(Text),
  TLS12_ENABLED: or(Flag, "false"),
  COMPLIANCE_POLICY: unset(OneOf(["pqc"])),
  // listeners and sockets
  IPV6_ENABLED: or(Flag, "true"),
  WEFT_BIND_ADDRESS: unset(IpAddress),
  WEFT_OUTBOUND_PORT: or(Port, "15001"),
  WEFT_INBOUND_PORT: or(Port, "15008"),
  WEFT_INBOUND_PLAINTEXT_PORT: or(Port, "15006"),
  WEFT_SOCKS5_PORT: or(Port, "15080"),
  WEFT_READINESS_PORT: or(Port, "15021"),
  WEFT_DEMO_ECHO_PORT: or(Port, "8080"),
  PACKET_MARK: unset(U32),
  ENABLE_ORIG_SRC: unset(Flag),
  KEEPALIVE_ENABLED: or(Flag, "true"),
  KEEPALIVE_TIME: or(KeepaliveTime, "180s"),
  KEEPALIVE_INTERVAL: or(KeepaliveTime, "180s"),
  KEEPALIVE_RETRIES: or(Whole(1, 127), "9"),
  USER_TIMEOUT_ENABLED: or(Flag, "false"),
  // HBONE; the bounds are those of HTTP/2 (RFC 9113 §6.5.2, §6.9.2)
  HTTP2_STREAM_WINDOW_SIZE: or(Whole(1, 2_147_483_647), "4194304"),
  HTTP2_CONNECTION_WINDOW_SIZE: or(Whole(65_535, 2_147_483_647), "16777216"),
  HTTP2_FRAME_SIZE: or(Whole(16_384, 16_777_215), "1048576"),
  POOL_MAX_STREAMS_PER_CONNECTION: or(Whole(1, 65_535), "100"),
  POOL_UNUSED_RELEASE_TIMEOUT: or(Deadline, "5m"),
  ENABLE_RESPONSE_BAGGAGE: or(Flag, "true"),
  LOCALHOST_APP_TUNNEL: or(Flag, "true"),
  WEFT_HANDSHAKE_TIMEOUT: or(Deadline, "10s"),
  // how an endpoint of a service is chosen
  WEFT_LOAD_BALANCING: or(OneOf(["random", "least-loaded"]), "random"),
  // the end
  CONNECTION_TERMINATION_DEADLINE: unset(Deadline),
  // ztunnel underflows at 0 (reference ops §14.2, 21)
  TERMINATION_GRACE_PERIOD_SECONDS: unset(Whole(1, 2_000_000)),
  // logs
  RUST_LOG: or(Filter, "info"),
  LOG_FORMAT: or(OneOf(["plain", "json"]), "plain"),
  AUTHZ_POLICY_INFO_LOGGING: or(Flag, "false"),
  // DNS
  ISTIO_META_DNS_CAPTURE: unset(Text),
  ISTIO_META_DNS_PROXY_ADDR: unset(Text),
  PREFERED_SERVICE_NAMESPACE: unset(Text),
  // only of use with a control plane or with istio-cni
  XDS_ROOT_CA: unset(Text),
  CA_ROOT_CA: unset(Text),
  ALT_XDS_HOSTNAME: unset(Text),
  ALT_CA_HOSTNAME: unset(Text),
  AUTH_TOKEN: unset(Text),
  POD_NAMESPACE: unset(Text),
  POD_NAME: unset(Text),
  SERVICE_ACCOUNT: unset(Text),
  INSTANCE_IP: unset(Text),
  INPOD_UDS: unset(Text),
  INPOD_PORT_REUSE: or(Flag, "true")
})
export type Environment = typeof Environment.Type

export type EnvironmentName = keyof typeof Environment.fields

// the keys of the struct, which `Object.keys` widens to string
export const environmentNames = Object.keys(Environment.fields) as ReadonlyArray<EnvironmentName>

/** Variables as they come: any may be missing. */
export type Variables = Readonly<Record<string, string | undefined>>

/** The value as it counts: trimmed, `undefined` when empty. */
export const valueOf = (variables: Variables, name: string): string | undefined => {
  // a YAML document keeps its first indentation
  const value = name === "LOCAL_XDS" ? variables[name]?.trimEnd() : variables[name]?.trim()
  return value === "" ? undefined : value
}

/** Wrong values are reported and then taken as not set, so that the other checks can still be made. */
export const readEnvironment = (
  variables: Variables
): { readonly environment: Environment; readonly issues: ReadonlyArray<ConfigIssue> } => {
  const given = new Map<string, string>()
  for (const name of environmentNames) {
    const value = valueOf(variables, name)
    if (value !== undefined) given.set(name, value)
  }
  const first = decode(Object.fromEntries(given))
  if (Result.isSuccess(first)) return { environment: first.success, issues: [] }
  const issues = format(first.failure.issue).issues.map(({ message, path }) => {
    const name = String(path?.[0])
    return { name, given: given.get(name), problem: message }
  })
  for (const { name } of issues) given.delete(name)
  return { environment: Result.getOrThrow(decode(Object.fromEntries(given))), issues }
}

const decode = Schema.decodeUnknownResult(Environment, { errors: "all" })
const format = SchemaIssue.makeFormatterStandardSchemaV1()
