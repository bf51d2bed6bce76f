/**
 * From what was given to what holds: the environment, the mesh config and the proxy config become `ProxySettings`, or
 * every reason why they cannot (reference ops §1.3, §2; names, defaults and precedence are ztunnel's).
 */
import * as Result from "effect/Result"
import { ipUnsafe, isIpv6, LOOPBACK_V4 } from "../Address.ts"
import { ConfigErrors, type ConfigIssue } from "./ConfigErrors.ts"
import { readEnvironment, valueOf, type Environment, type EnvironmentName, type Variables } from "./Environment.ts"
import { mergeProxyConfigs, nodeMetadata, readMeshConfig, readProxyConfig } from "./IstioProxyConfig.ts"
import { notes, refusals } from "./NotYet.ts"
import type { MeshFile, ProxySettings } from "./ProxySettings.ts"
import { workerThreads } from "./WorkerThreads.ts"

export interface ConfigInput {
  readonly variables: Variables
  /** The mesh config file, parsed; `undefined` where there is none. */
  readonly meshConfig: unknown
  /** `PROXY_CONFIG`, parsed; `undefined` where there is none. */
  readonly proxyConfig: unknown
  /** CPUs that the operating system lets this process use. */
  readonly cpuCount: number
}

export const configure = ({
  cpuCount,
  meshConfig,
  proxyConfig,
  variables
}: ConfigInput): Result.Result<ProxySettings, ConfigErrors> => {
  const { environment: env, issues: malformed } = readEnvironment(variables)
  const mesh = readMeshConfig(meshConfig)
  const own = readProxyConfig(proxyConfig, "PROXY_CONFIG")
  const config = mergeProxyConfigs(mesh.config, own.config)
  const dnsCapture = nodeMetadata(config, variables)["DNS_CAPTURE"] || undefined
  const threads = workerThreads(env, config.concurrency, cpuCount)
  const together = [
    ...(Result.isFailure(threads) ? threads.failure.issues : []),
    ...refusals(variables, env, config, dnsCapture),
    ...contradictions(variables, env)
    // a value that could not be read was already reported, and counts as missing here
  ].filter(({ name }) => malformed.every((issue) => issue.name !== name))
  const issues = [...malformed, ...mesh.issues, ...own.issues, ...together]

  const workload = env.PROXY_WORKLOAD_INFO
  const meshFile = meshFileOf(env)
  if (issues.length > 0 || Result.isFailure(threads) || workload === undefined || meshFile === undefined) {
    return Result.fail(new ConfigErrors({ issues }))
  }
  const bindAddress = env.WEFT_BIND_ADDRESS ?? (env.IPV6_ENABLED ? ANY_V6 : ANY_V4)
  const postQuantumOnly = env.COMPLIANCE_POLICY === "pqc"
  return Result.succeed({
    network: env.NETWORK,
    nodeName: env.NODE_NAME,
    // of the environment only: the proxy config's metadata does not count here (reference ops §14.2, 23)
    clusterId: env.ISTIO_META_CLUSTER_ID ?? env.CLUSTER_ID ?? "Kubernetes",
    clusterDomain: env.CLUSTER_DOMAIN,
    trustDomain: env.TRUST_DOMAIN,
    workload,
    meshFile,
    xds: undefined,
    issuer: {
      _tag: "Embedded",
      root:
        env.WEFT_CA_CERT !== undefined && env.WEFT_CA_KEY !== undefined
          ? { certPath: env.WEFT_CA_CERT, keyPath: env.WEFT_CA_KEY }
          : undefined
    },
    secretTtlMs: env.SECRET_TTL,
    crlPath: undefined,
    workerThreads: threads.success,
    socks5: env.UNSTABLE_ENABLE_SOCKS5,
    ipv6: env.IPV6_ENABLED,
    bindAddress,
    socks5BindAddress: bindAddress === ANY_V6 || bindAddress === ANY_V4 ? LOOPBACK_V4 : bindAddress,
    ports: {
      outbound: env.WEFT_OUTBOUND_PORT,
      inbound: env.WEFT_INBOUND_PORT,
      inboundPlaintext: env.WEFT_INBOUND_PLAINTEXT_PORT,
      socks5: env.WEFT_SOCKS5_PORT,
      readiness: env.WEFT_READINESS_PORT,
      demoEcho: env.WEFT_DEMO_ECHO_PORT
    },
    packetMark: env.PACKET_MARK || undefined,
    keepalive: {
      enabled: env.KEEPALIVE_ENABLED,
      timeMs: env.KEEPALIVE_TIME,
      intervalMs: env.KEEPALIVE_INTERVAL,
      retries: env.KEEPALIVE_RETRIES,
      userTimeout: env.USER_TIMEOUT_ENABLED
    },
    http2: {
      streamWindow: env.HTTP2_STREAM_WINDOW_SIZE,
      connectionWindow: env.HTTP2_CONNECTION_WINDOW_SIZE,
      frameSize: env.HTTP2_FRAME_SIZE
    },
    pool: { maxStreams: env.POOL_MAX_STREAMS_PER_CONNECTION, unusedReleaseMs: env.POOL_UNUSED_RELEASE_TIMEOUT },
    leastLoaded: env.WEFT_LOAD_BALANCING === "least-loaded",
    drainDeadlineMs: drainDeadline(env),
    responseBaggage: env.ENABLE_RESPONSE_BAGGAGE,
    localhostAppTunnel: env.LOCALHOST_APP_TUNNEL,
    // TLS 1.2 has no post-quantum key exchange
    tls: { tls12: env.TLS12_ENABLED && !postQuantumOnly, postQuantumOnly },
    log: { filter: env.RUST_LOG, format: env.LOG_FORMAT, policyInfo: env.AUTHZ_POLICY_INFO_LOGGING },
    handshakeTimeoutMs: env.WEFT_HANDSHAKE_TIMEOUT,
    notes: notes(variables, config, dnsCapture)
  })
}

/** What is missing, or given but not together with something else that is given. */
const contradictions = (variables: Variables, env: Environment): ReadonlyArray<ConfigIssue> => {
  const issues: Array<ConfigIssue> = []
  const say = (name: EnvironmentName, problem: string) =>
    issues.push({ name, given: name === "LOCAL_XDS" ? undefined : valueOf(variables, name), problem })
  if (!env.ENABLE_PROXY) {
    say("ENABLE_PROXY", "ztunnel run without any servers enabled: leave it out, or set it to true")
  }
  if (env.HTTP2_STREAM_WINDOW_SIZE > env.HTTP2_CONNECTION_WINDOW_SIZE) {
    say(
      "HTTP2_STREAM_WINDOW_SIZE",
      `one stream could block its whole tunnel: at most HTTP2_CONNECTION_WINDOW_SIZE, which is ${env.HTTP2_CONNECTION_WINDOW_SIZE}`
    )
  }
  if (env.USER_TIMEOUT_ENABLED && env.KEEPALIVE_TIME + env.KEEPALIVE_RETRIES * env.KEEPALIVE_INTERVAL > MAX_INT) {
    say(
      "USER_TIMEOUT_ENABLED",
      "KEEPALIVE_TIME + KEEPALIVE_RETRIES × KEEPALIVE_INTERVAL is above the 24 days that the kernel takes"
    )
  }
  if (env.PROXY_WORKLOAD_INFO === undefined) {
    say(
      "PROXY_WORKLOAD_INFO",
      "dedicated mode must know whose traffic it carries: set it to namespace/name/service-account"
    )
  }
  if (env.LOCAL_XDS_PATH === undefined && env.LOCAL_XDS === undefined) {
    say(
      "LOCAL_XDS_PATH",
      "a mesh file is the only source of the mesh yet: set this to its path, or LOCAL_XDS to its text"
    )
  }
  if (env.LOCAL_XDS_PATH !== undefined && env.LOCAL_XDS !== undefined) {
    say("LOCAL_XDS", "LOCAL_XDS_PATH is set as well, and there is one mesh: leave one of them out")
  }
  if ((env.WEFT_CA_CERT === undefined) !== (env.WEFT_CA_KEY === undefined)) {
    const [missing, there] = env.WEFT_CA_CERT === undefined ? CA_FILES : CA_FILES.toReversed()
    say(missing!, `${there} is set, and they belong together: set this one to a PEM file too, or leave both out`)
  }
  if (!env.IPV6_ENABLED && env.WEFT_BIND_ADDRESS !== undefined && isIpv6(env.WEFT_BIND_ADDRESS)) {
    say(
      "WEFT_BIND_ADDRESS",
      "is an IPv6 address while IPV6_ENABLED=false: give an IPv4 address or leave one of them out"
    )
  }
  return issues
}

const meshFileOf = (env: Environment): MeshFile | undefined => {
  if (env.LOCAL_XDS_PATH !== undefined) return { _tag: "File", path: env.LOCAL_XDS_PATH }
  return env.LOCAL_XDS === undefined ? undefined : { _tag: "Inline", text: env.LOCAL_XDS }
}

/** The grace period less what the rest of the shutdown needs, at least a second. */
const drainDeadline = (env: Environment): number => {
  if (env.CONNECTION_TERMINATION_DEADLINE !== undefined) return env.CONNECTION_TERMINATION_DEADLINE
  const grace = env.TERMINATION_GRACE_PERIOD_SECONDS
  if (grace === undefined) return 5_000
  return Math.max(grace > 10 ? grace - 5 : grace - 1, 1) * 1_000
}

const CA_FILES: ReadonlyArray<"WEFT_CA_CERT" | "WEFT_CA_KEY"> = ["WEFT_CA_CERT", "WEFT_CA_KEY"]
const ANY_V6 = ipUnsafe("::")
const ANY_V4 = ipUnsafe("0.0.0.0")

const MAX_INT = 2 ** 31 - 1
