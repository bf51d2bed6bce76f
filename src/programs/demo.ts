/**
 * `weft demo`: a mesh of two workloads on loopback, their two proxy sets in this process, and a web service behind a VIP.
 * What a connection goes through is what it goes through anywhere: SOCKS5, routing, HBONE in mutual TLS, the far side.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { formatSocketAddress, ipUnsafe, type SocketAddress } from "../domain/Address.ts"
import type { ProxySettings } from "../domain/config/ProxySettings.ts"
import type { ListenerKind, ListenerSpec } from "../domain/shard/Message.ts"
import { LineWriter } from "../layers/observe/LineWriter.ts"
import { ProxyConfig } from "../layers/ProxyConfig.ts"
import { AdminRuntime } from "../layers/runtime/AdminRuntime.ts"
import { Readiness } from "../layers/runtime/Readiness.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { type SetPlan, startProbes, startSet } from "./dedicated.ts"
import { serveEcho } from "./echo.ts"
import { raiseDescriptorLimit, SHARD_ENTRY } from "./proxy.ts"
import { untilShutdown } from "./shutdown.ts"

export const demo = Effect.gen(function* () {
  const settings = yield* ProxyConfig
  const echo = yield* serveEcho(
    { service: HOSTNAME, servedBy: `${SERVER.namespace}/${SERVER.name}` },
    settings.ports.demoEcho
  )
  const demoSettings: ProxySettings = { ...settings, meshFile: { _tag: "Inline", text: meshOf(echo.port) } }
  yield* Effect.andThen(startSets(echo), untilShutdown).pipe(
    Effect.scoped,
    Effect.provide(AdminRuntime.layer(demoSettings, SHARD_ENTRY))
  )
}).pipe(
  Effect.scoped,
  Effect.provide(
    Layer.unwrap(
      Effect.sync(() =>
        ProxyConfig.layerWith(
          {
            PROXY_MODE: "dedicated",
            PROXY_WORKLOAD_INFO: `${CLIENT.namespace}/${CLIENT.name}/${CLIENT.serviceAccount}`,
            UNSTABLE_ENABLE_SOCKS5: "true",
            LOCAL_XDS: "workloads: []",
            // what a developer's shell may have set for something else
            LOCAL_XDS_PATH: "",
            NETWORK: "",
            NODE_NAME: "",
            PROXY_CONFIG: "",
            XDS_ADDRESS: "",
            CA_ADDRESS: "",
            LOCALHOST_APP_TUNNEL: ""
          },
          { RUST_LOG: "warn,access=info", ZTUNNEL_WORKER_THREADS: "2" }
        )
      )
    )
  )
)

const startSets = Effect.fnUntraced(function* (echo: SocketAddress) {
  const readiness = yield* Readiness
  const settings = yield* Settings
  yield* raiseDescriptorLimit
  const probes = yield* startProbes(0, CLIENT.ip)
  const server = yield* startSet(1, serverPlan(settings))
  const inbound = addressOf(server, "inbound")
  const client = yield* startSet(2, clientPlan(settings, inbound.port))
  yield* readiness.complete("proxy")
  const socks5 = formatSocketAddress(addressOf(client, "socks5"))
  const writer = yield* LineWriter
  writer.write(
    [
      "",
      "  weft demo: two workloads of a mesh, their proxies, and a web service, in one process",
      "",
      `    ${CLIENT.namespace}/${CLIENT.name}    SOCKS5 ${socks5}, outbound ${formatSocketAddress(addressOf(client, "outbound"))}`,
      `    ${SERVER.namespace}/${SERVER.name}     HBONE ${formatSocketAddress(inbound)}, the service itself ${formatSocketAddress(echo)}`,
      `    readiness     http://${formatSocketAddress(addressOf(probes, "readiness"))}/healthz/ready`,
      "",
      "  try it (Ctrl-C ends the demo):",
      "",
      `    curl -x socks5h://${socks5} http://${HOSTNAME}/hello`,
      "",
      "  the two lines that appear here then are the two ends of one tunnel:",
      "",
      ""
    ].join("\n")
  )
})

const addressOf = (listeners: ReadonlyArray<ListenerSpec>, kind: ListenerKind) =>
  // each plan has the kinds that are asked for
  listeners.find((each) => each.kind === kind)!.address

const serverPlan = ({ ports }: ProxySettings): SetPlan => ({
  workload: SERVER,
  localIp: undefined,
  hbonePort: undefined,
  listeners: [{ kind: "inbound", address: { ip: SERVER.ip, port: ports.inbound }, variable: "WEFT_INBOUND_PORT" }]
})

const clientPlan = ({ ports }: ProxySettings, hbonePort: number): SetPlan => ({
  workload: CLIENT,
  localIp: CLIENT.ip,
  hbonePort,
  listeners: [
    { kind: "outbound", address: { ip: CLIENT.ip, port: ports.outbound }, variable: "WEFT_OUTBOUND_PORT" },
    { kind: "socks5", address: { ip: CLIENT.ip, port: ports.socks5 }, variable: "WEFT_SOCKS5_PORT" }
  ]
})

const meshOf = (echoPort: number): string => `
workloads:
- {uid: demo//Pod/${CLIENT.namespace}/${CLIENT.name}, name: ${CLIENT.name}, namespace: ${CLIENT.namespace},
   serviceAccount: ${CLIENT.serviceAccount}, workloadIps: [${CLIENT.ip}], protocol: HBONE, services: {}}
- {uid: demo//Pod/${SERVER.namespace}/${SERVER.name}, name: ${SERVER.name}, namespace: ${SERVER.namespace},
   serviceAccount: ${SERVER.serviceAccount}, workloadIps: [${SERVER.ip}], protocol: HBONE,
   applicationTunnel: {protocol: PROXY, port: ${echoPort}},
   services: {${SERVER.namespace}/${HOSTNAME}: {80: ${echoPort}}}}
services:
- {name: echo, namespace: ${SERVER.namespace}, hostname: ${HOSTNAME}, vips: [/${VIP}], ports: {80: ${echoPort}}}
`

const CLIENT = { namespace: "shop", name: "cart", serviceAccount: "cart", ip: ipUnsafe("127.0.0.2") }
const SERVER = { namespace: "books", name: "echo", serviceAccount: "echo", ip: ipUnsafe("127.0.0.3") }
const HOSTNAME = "echo.books.svc.cluster.local"
const VIP = "127.10.0.1"
