import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { configure, type ConfigInput } from "../../../src/domain/config/ConfigSchema.ts"
import type { ProxySettings } from "../../../src/domain/config/ProxySettings.ts"

const ENOUGH = { PROXY_MODE: "dedicated", PROXY_WORKLOAD_INFO: "ns/pod-1/sa", LOCAL_XDS_PATH: "mesh.yaml" }

const run = (variables: ConfigInput["variables"], rest: Partial<ConfigInput> = {}) =>
  configure({
    variables: { ...ENOUGH, ...variables },
    meshConfig: undefined,
    proxyConfig: undefined,
    cpuCount: 4,
    ...rest
  })
const settings = (variables: ConfigInput["variables"], rest?: Partial<ConfigInput>): ProxySettings =>
  Result.getOrThrow(run(variables, rest))
const refused = (variables: ConfigInput["variables"], rest?: Partial<ConfigInput>): string =>
  Result.getOrThrow(Result.flip(run(variables, rest))).message

describe("configure", () => {
  it("has ztunnel's defaults", () => {
    assert.deepStrictEqual(
      { ...settings({}), notes: [] },
      // the addresses are brands, which literals are not
      {
        network: "",
        nodeName: undefined,
        clusterId: "Kubernetes",
        clusterDomain: "cluster.local",
        trustDomain: "cluster.local",
        workload: { namespace: "ns", name: "pod-1", serviceAccount: "sa" },
        meshFile: { _tag: "File", path: "mesh.yaml" },
        xds: undefined,
        issuer: { _tag: "Embedded", root: undefined },
        crlPath: undefined,
        secretTtlMs: 86_400_000,
        workerThreads: 2,
        socks5: false,
        ipv6: true,
        bindAddress: "::",
        socks5BindAddress: "127.0.0.1",
        ports: {
          outbound: 15001,
          inbound: 15008,
          inboundPlaintext: 15006,
          socks5: 15080,
          readiness: 15021,
          demoEcho: 8080
        },
        packetMark: undefined,
        keepalive: { enabled: true, timeMs: 180_000, intervalMs: 180_000, retries: 9, userTimeout: false },
        http2: { streamWindow: 4_194_304, connectionWindow: 16_777_216, frameSize: 1_048_576 },
        pool: { maxStreams: 100, unusedReleaseMs: 300_000 },
        leastLoaded: false,
        drainDeadlineMs: 5_000,
        responseBaggage: true,
        localhostAppTunnel: true,
        tls: { tls12: false, postQuantumOnly: false },
        log: { filter: "info", format: "plain", policyInfo: false },
        handshakeTimeoutMs: 10_000,
        notes: []
      } as unknown as ProxySettings
    )
  })

  it("trims values, takes an empty one as not set, and understands the usual booleans", () => {
    assert.strictEqual(
      settings({ NETWORK: "  east ", KEEPALIVE_TIME: " ", CA_ADDRESS: "", XDS_ADDRESS: "" }).network,
      "east"
    )
    for (const yes of ["true", "True", "TRUE", "1", "yes"]) {
      assert.isTrue(settings({ UNSTABLE_ENABLE_SOCKS5: yes }).socks5)
    }
    for (const no of ["false", "False", "0", "no"]) {
      assert.isFalse(settings({ KEEPALIVE_ENABLED: no }).keepalive.enabled)
    }
  })

  it("balances by load only when told to", () => {
    assert.isTrue(settings({ WEFT_LOAD_BALANCING: "least-loaded" }).leastLoaded)
    assert.isFalse(settings({ WEFT_LOAD_BALANCING: "random" }).leastLoaded)
  })

  it("says everything that is wrong at once, by name, with what was given", () => {
    const message = refused({
      KEEPALIVE_TIME: "5 parsecs",
      KEEPALIVE_RETRIES: "0x9",
      ENABLE_RESPONSE_BAGGAGE: "maybe",
      WEFT_INBOUND_PORT: "65536",
      WEFT_BIND_ADDRESS: "localhost",
      PROXY_WORKLOAD_INFO: "only/two",
      LOG_FORMAT: "xml",
      RUST_LOG: "info,access=loud",
      COMPLIANCE_POLICY: "fips",
      ZTUNNEL_RESOURCE_CPU_LIMIT: "lots",
      XDS_ON_DEMAND: "true"
    })
    const lines = message.split("\n")
    assert.deepStrictEqual(
      lines.map((line) => line.slice(0, line.indexOf(":"))).toSorted(),
      [
        "PROXY_WORKLOAD_INFO=only/two",
        "WEFT_BIND_ADDRESS=localhost",
        "WEFT_INBOUND_PORT=65536",
        'KEEPALIVE_TIME="5 parsecs"',
        "KEEPALIVE_RETRIES=0x9",
        "ENABLE_RESPONSE_BAGGAGE=maybe",
        'RUST_LOG="info,access=loud"',
        "LOG_FORMAT=xml",
        "COMPLIANCE_POLICY=fips",
        "ZTUNNEL_RESOURCE_CPU_LIMIT=lots",
        "XDS_ON_DEMAND=true"
      ].toSorted()
    )
    assert.include(message, "from 0 to 65535")
    assert.include(message, "must be plain or json")
  })

  it.each([
    ["HTTP2_FRAME_SIZE", "16383", "from 16384 to 16777215"],
    ["HTTP2_STREAM_WINDOW_SIZE", "2147483648", "from 1 to 2147483647"],
    ["POOL_MAX_STREAMS_PER_CONNECTION", "0", "from 1 to 65535"],
    ["TERMINATION_GRACE_PERIOD_SECONDS", "0", "from 1 to"],
    ["CONNECTION_TERMINATION_DEADLINE", "30d", "from 1ms to 24d"],
    ["WEFT_HANDSHAKE_TIMEOUT", "0s", "from 1ms to 24d"],
    ["PROXY_MODE", "sidecar", "must be shared or dedicated"],
    ["WEFT_LOAD_BALANCING", "round-robin", "must be random or least-loaded"],
    ["WEFT_BIND_ADDRESS", "10.0.0.1:80", "is not an IP address"],
    ["PROXY_WORKLOAD_INFO", "ns//sa", "namespace/name/service-account"]
  ])("%s=%s is refused", (name, value, accepted) => {
    const message = refused({ [name]: value })
    assert.isTrue(message.startsWith(`${name}=${value}: `), message)
    assert.include(message, accepted)
    assert.notInclude(message, "\n")
  })

  it.each([
    ["PROXY_MODE", "shared", "set PROXY_MODE=dedicated"],
    ["XDS_ADDRESS", "https://istiod:15012", "LOCAL_XDS_PATH"],
    ["CA_ADDRESS", "https://istiod:15012", "embedded"],
    ["FAKE_CA", "false", "WEFT_CA_CERT"],
    ["XDS_ON_DEMAND", "true", "leave it out"],
    ["CRL_PATH", "/crl.pem", "leave it out"],
    ["ENABLE_ORIG_SRC", "true", "set it to false"],
    ["ISTIO_META_DNS_CAPTURE", "true", "set it to false"],
    ["ENABLE_PROXY", "false", "ztunnel run without any servers enabled"]
  ])("%s=%s is not there yet, and is not ignored", (name, value, advice) => {
    const message = refused({ [name]: value })
    assert.isTrue(message.startsWith(`${name}=${value}: `), message)
    assert.include(message, advice)
    assert.notInclude(message, "\n")
  })

  it("asks for dedicated mode where no mode is given, since shared is the default", () => {
    assert.include(refused({ PROXY_MODE: undefined }), "PROXY_MODE: shared mode")
  })

  it("needs a workload and one mesh", () => {
    assert.include(refused({ PROXY_WORKLOAD_INFO: undefined }), "PROXY_WORKLOAD_INFO: ")
    assert.include(refused({ LOCAL_XDS_PATH: undefined }), "only source of the mesh")
    assert.include(refused({ LOCAL_XDS: "workloads: []" }), "LOCAL_XDS: LOCAL_XDS_PATH is set as well")
    const text = "  workloads: []\n  services: []\n"
    assert.deepStrictEqual(settings({ LOCAL_XDS_PATH: undefined, LOCAL_XDS: text }).meshFile, {
      _tag: "Inline",
      text: text.trimEnd()
    })
  })

  it("splits the workload at the first two slashes", () => {
    assert.strictEqual(settings({ PROXY_WORKLOAD_INFO: "a/b/c/d" }).workload.serviceAccount, "c/d")
  })

  it("takes both files of the CA or neither; with them FAKE_CA=false is meant", () => {
    const files = { WEFT_CA_CERT: "ca.pem", WEFT_CA_KEY: "ca-key.pem" }
    assert.deepStrictEqual(settings({ ...files, FAKE_CA: "false" }).issuer, {
      _tag: "Embedded",
      root: { certPath: "ca.pem", keyPath: "ca-key.pem" }
    })
    assert.include(refused({ WEFT_CA_CERT: "ca.pem" }), "WEFT_CA_KEY: WEFT_CA_CERT is set")
    assert.include(refused({ WEFT_CA_KEY: "ca-key.pem" }), "WEFT_CA_CERT: WEFT_CA_KEY is set")
  })

  it("binds as asked; SOCKS5 only where it cannot be reached from everywhere", () => {
    const addresses = (given: ConfigInput["variables"]) => {
      const { bindAddress, socks5BindAddress } = settings(given)
      return [bindAddress, socks5BindAddress].map(String)
    }
    assert.deepStrictEqual(addresses({ IPV6_ENABLED: "false" }), ["0.0.0.0", "127.0.0.1"])
    assert.deepStrictEqual(addresses({ WEFT_BIND_ADDRESS: "0.0.0.0" }), ["0.0.0.0", "127.0.0.1"])
    assert.deepStrictEqual(addresses({ WEFT_BIND_ADDRESS: "127.0.0.5" }), ["127.0.0.5", "127.0.0.5"])
    assert.include(refused({ IPV6_ENABLED: "false", WEFT_BIND_ADDRESS: "::1" }), "WEFT_BIND_ADDRESS=::1: ")
    assert.strictEqual(settings({ WEFT_READINESS_PORT: "0" }).ports.readiness, 0)
  })

  it.each([
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "30" }, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "11" }, 6_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "10" }, 9_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "1" }, 1_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "30", CONNECTION_TERMINATION_DEADLINE: "1500ms" }, 1_500]
  ])("drains by %j", (given, expected) => {
    assert.strictEqual(settings(given).drainDeadlineMs, expected)
  })

  it("marks no packet for 0, and offers no TLS 1.2 where post-quantum keys are asked for", () => {
    assert.isUndefined(settings({ PACKET_MARK: "0" }).packetMark)
    assert.strictEqual(settings({ PACKET_MARK: "1337" }).packetMark, 1337)
    assert.deepStrictEqual(settings({ COMPLIANCE_POLICY: "pqc", TLS12_ENABLED: "true" }).tls, {
      tls12: false,
      postQuantumOnly: true
    })
  })

  it("takes the cluster id from ISTIO_META_CLUSTER_ID, then CLUSTER_ID, never from the proxy config", () => {
    assert.strictEqual(settings({ ISTIO_META_CLUSTER_ID: "a", CLUSTER_ID: "b" }).clusterId, "a")
    assert.strictEqual(settings({ CLUSTER_ID: "b" }).clusterId, "b")
    const proxyConfig = { proxyMetadata: { ISTIO_META_CLUSTER_ID: "c" } }
    assert.strictEqual(settings({}, { proxyConfig }).clusterId, "Kubernetes")
  })

  it("notes what has no effect, and that DNS is not captured", () => {
    assert.lengthOf(settings({ ISTIO_META_DNS_CAPTURE: "false" }).notes, 0)
    const { notes } = settings(
      { AUTH_TOKEN: "t", INPOD_UDS: "/s", XDS_HEADER_X: "1" },
      { proxyConfig: { statsPort: 1 } }
    )
    assert.lengthOf(notes, 2)
    assert.include(notes[0], "ISTIO_META_DNS_CAPTURE=false")
    assert.include(notes[1], "AUTH_TOKEN, INPOD_UDS, XDS_HEADER_X, statsPort")
  })
})

describe("the proxy config", () => {
  const mesh = (defaultConfig: unknown): Partial<ConfigInput> => ({ meshConfig: { defaultConfig, other: 1 } })

  it("needs no proxyMetadata, and PROXY_CONFIG wins", () => {
    assert.strictEqual(settings({}, mesh({ concurrency: 3 })).workerThreads, 3)
    assert.strictEqual(settings({}, { ...mesh({ concurrency: 3 }), proxyConfig: { concurrency: 5 } }).workerThreads, 5)
    assert.strictEqual(
      settings({}, mesh({ proxyMetadata: null, concurrency: null, drainDuration: "45s" })).workerThreads,
      2
    )
    assert.strictEqual(settings({}, { meshConfig: null, proxyConfig: null }).workerThreads, 2)
  })

  it("merges the metadata by key; the environment wins", () => {
    const both = {
      ...mesh({ proxyMetadata: { ISTIO_META_DNS_CAPTURE: true } }),
      proxyConfig: { proxyMetadata: { OTHER: "x" } }
    }
    assert.include(refused({}, both), "ISTIO_META_DNS_CAPTURE=true: ")
    assert.lengthOf(settings({ ISTIO_META_DNS_CAPTURE: "false" }, both).notes, 0)
    const own = { ...both, proxyConfig: { proxyMetadata: { ISTIO_META_DNS_CAPTURE: "false" } } }
    assert.lengthOf(settings({}, own).notes, 0)
  })

  it("says where it is wrong", () => {
    const message = refused(
      { NETWORK: "x", KEEPALIVE_TIME: "x" },
      { ...mesh({ statsPort: 70_000, proxyAdminPort: "a" }), proxyConfig: { proxyMetadata: { A: { b: 1 } } } }
    )
    assert.include(message, "mesh config defaultConfig.statsPort: must be a whole number from 0 to 65535")
    assert.include(message, "mesh config defaultConfig.proxyAdminPort: Expected number")
    assert.include(message, "PROXY_CONFIG.proxyMetadata.A: ")
    assert.include(message, "KEEPALIVE_TIME=x: ")
    assert.include(refused({}, { proxyConfig: "text" }), "PROXY_CONFIG: ")
    assert.include(refused({}, { meshConfig: ["list"] }), "mesh config: ")
  })

  it("refuses a discovery address, unless an empty XDS_ADDRESS overrides it", () => {
    const config = mesh({ discoveryAddress: "istiod:15012" })
    assert.include(refused({}, config), "discoveryAddress=istiod:15012: ")
    assert.isDefined(settings({ XDS_ADDRESS: "" }, config))
  })
})
