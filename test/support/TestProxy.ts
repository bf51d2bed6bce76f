/**
 * The whole proxy in this process, as `weft demo` runs it: shards in worker threads and two proxy sets on loopback, a
 * client's (SOCKS5, outbound) and a server's (inbound HBONE). What the program only shows from outside, a
 * test reads here: the shared memory of all shards. It ends with its scope.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { configure } from "../../src/domain/config/ConfigSchema.ts"
import type { ListenerKind, ListenerSpec, ProxyListenerKind } from "../../src/domain/shard/Message.ts"
import { ipUnsafe } from "../../src/domain/Address.ts"
import { MeshStore } from "../../src/layers/mesh/MeshStore.ts"
import { SharedMetrics } from "../../src/layers/observe/Metrics.ts"
import { AdminRuntime } from "../../src/layers/runtime/AdminRuntime.ts"
import { ShardPool } from "../../src/layers/runtime/ShardPool.ts"
import { type SetPlan, startSet } from "../../src/programs/dedicated.ts"
import { SHARD_ENTRY } from "../../src/programs/proxy.ts"
import type { Target } from "./rawTcp.ts"
import { meshFile, workload } from "./meshes.ts"

/** A destination here goes through HBONE; any other loopback address is unknown to the mesh, and is reached directly. */
export const SERVER_IP = "127.0.0.3"
const CLIENT_IP = "127.0.0.2"

export interface TestProxyOptions {
  readonly shards: number
  /** Default the program's own. */
  readonly entry?: URL
  readonly env?: Readonly<Record<string, string>>
}

export const startTestProxy = Effect.fnUntraced(function* ({ entry = SHARD_ENTRY, env, shards }: TestProxyOptions) {
  const mesh = meshFile({ workloads: [workload("client", [CLIENT_IP]), workload("server", [SERVER_IP])], services: [] })
  const settings = Result.getOrThrow(
    configure({
      variables: {
        PROXY_MODE: "dedicated",
        PROXY_WORKLOAD_INFO: "shop/client/default",
        LOCAL_XDS: mesh,
        UNSTABLE_ENABLE_SOCKS5: "true",
        ZTUNNEL_WORKER_THREADS: String(shards),
        RUST_LOG: "off",
        ...env
      },
      meshConfig: undefined,
      proxyConfig: undefined,
      cpuCount: shards
    })
  )
  const context = yield* Layer.build(AdminRuntime.layer(settings, entry))
  return yield* Effect.gen(function* () {
    const server = yield* startSet(0, plan("server", SERVER_IP, ["inbound"], undefined))
    const inbound = addressOf(server, "inbound")
    const client = yield* startSet(1, plan("client", CLIENT_IP, ["outbound", "socks5"], inbound.port))
    return {
      inbound,
      outbound: addressOf(client, "outbound"),
      socks5: addressOf(client, "socks5"),
      /** What is applied here comes on top of the mesh that the proxy starts with. */
      mesh: Context.get(context, MeshStore),
      metrics: Context.get(context, SharedMetrics),
      pool: Context.get(context, ShardPool)
    }
  }).pipe(Effect.provideContext(context))
})

export type TestProxy = Effect.Success<ReturnType<typeof startTestProxy>>

const plan = (
  name: string,
  ip: string,
  kinds: ReadonlyArray<ProxyListenerKind>,
  hbonePort: number | undefined
): SetPlan => ({
  workload: { namespace: "shop", name, serviceAccount: "default" },
  localIp: name === "client" ? ipUnsafe(ip) : undefined,
  hbonePort,
  listeners: kinds.map((kind) => ({ kind, address: { ip: ipUnsafe(ip), port: 0 }, variable: `WEFT_${kind}_PORT` }))
})

const addressOf = (listeners: ReadonlyArray<ListenerSpec>, kind: ListenerKind): Target => {
  const { address } = listeners.find((each) => each.kind === kind)! // each set below has the kinds that are asked for
  return { host: address.ip, port: address.port }
}
