/** Dedicated mode: one proxy set, for the one workload that the configuration names. */
import * as Effect from "effect/Effect"
import { formatSocketAddress, type Ip, type SocketAddress } from "../domain/Address.ts"
import type { ProxySettings } from "../domain/config/ProxySettings.ts"
import type { WorkloadInfo } from "../domain/mesh/Workload.ts"
import type { ListenerKind, ListenerSpec, ProxyListenerKind, Serve } from "../domain/shard/Message.ts"
import { logTarget } from "../layers/observe/Logging.ts"
import type { BindError } from "../layers/os/SocketFactory.ts"
import { SocketFactory } from "../layers/os/SocketFactory.ts"
import { Readiness } from "../layers/runtime/Readiness.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { ShardPool } from "../layers/runtime/ShardPool.ts"

/** One listener to be: where, and the variable that moves it. */
interface ListenerPlan<Kind extends ListenerKind> {
  readonly kind: Kind
  readonly address: SocketAddress
  readonly variable: string
}

export interface SetPlan {
  readonly workload: WorkloadInfo
  readonly listeners: ReadonlyArray<ListenerPlan<ProxyListenerKind>>
  readonly localIp: Ip | undefined
  /** Undefined: the port of the set's own inbound listener, as every proxy of the mesh has the same. */
  readonly hbonePort: number | undefined
}

const dedicatedPlan = (settings: ProxySettings): SetPlan => {
  const { bindAddress: ip, ports, socks5, socks5BindAddress, workload } = settings
  const wildcard = ip === "::" || ip === "0.0.0.0"
  return {
    workload,
    localIp: wildcard ? undefined : ip,
    hbonePort: undefined,
    listeners: [
      { kind: "inbound", address: { ip, port: ports.inbound }, variable: "WEFT_INBOUND_PORT" },
      {
        kind: "inboundPlaintext",
        address: { ip, port: ports.inboundPlaintext },
        variable: "WEFT_INBOUND_PLAINTEXT_PORT"
      },
      { kind: "outbound", address: { ip, port: ports.outbound }, variable: "WEFT_OUTBOUND_PORT" },
      ...(socks5
        ? [
            {
              kind: "socks5",
              address: { ip: socks5BindAddress, port: ports.socks5 },
              variable: "WEFT_SOCKS5_PORT"
            } as const
          ]
        : [])
    ]
  }
}

/** Binds every listener, then has all shards serve them. Answers where they are. */
export const startSet = Effect.fnUntraced(function* (id: number, plan: SetPlan) {
  const bound = yield* bind(plan.listeners)
  const portOf = (kind: ListenerKind) => bound.find((each) => each.kind === kind)?.address.port
  return yield* serve({
    _tag: "Serve",
    set: {
      id,
      workload: plan.workload,
      listeners: bound,
      localIp: plan.localIp,
      hbonePort: plan.hbonePort ?? portOf("inbound") ?? 0,
      illegalPorts: bound.map(({ address }) => address.port)
    }
  })
})

/** Has every shard answer whether the process is ready, from now on. */
export const startProbes = Effect.fnUntraced(function* (id: number, ip: Ip) {
  const { ports } = yield* Settings
  const plan = { kind: "readiness", address: { ip, port: ports.readiness }, variable: "WEFT_READINESS_PORT" } as const
  return yield* serve({ _tag: "ServeProbes", set: { id, listeners: yield* bind([plan]) } })
})

const bind = Effect.fnUntraced(function* <Kind extends ListenerKind>(plans: ReadonlyArray<ListenerPlan<Kind>>) {
  const sockets = yield* SocketFactory
  const settings = yield* Settings
  const bound: Array<ListenerSpec<Kind>> = []
  for (const { address, kind, variable } of plans) {
    const { address: actual, fd } = yield* Effect.mapError(
      sockets.listen(address, inheritedBy(kind, settings)),
      (error) => new PortError({ error, kind, variable })
    )
    bound.push({ kind, address: actual, fd })
  }
  return bound
})

const serve = Effect.fnUntraced(function* (order: Serve) {
  const serving = yield* (yield* ShardPool).serve(order)
  for (const { address, kind } of serving) {
    yield* Effect.logInfo("listener established", {
      address: formatSocketAddress(address),
      component: COMPONENTS[kind]
    }).pipe(logTarget("proxy"))
  }
  return serving
})

/** ztunnel's keepalive (reference datapath §1.2); plain connections are reset when their shard dies, tunnels notice. */
const inheritedBy = (kind: ListenerKind, { keepalive }: ProxySettings) => ({
  keepalive: keepalive.enabled && (kind === "outbound" || kind === "inboundPlaintext") ? keepalive : undefined,
  abortOnClose: kind === "outbound" || kind === "inboundPlaintext" || kind === "socks5"
})

/** A port could not be had: which one, and what moves it. */
class PortError extends Error {
  readonly _tag = "PortError"
  constructor({
    error,
    kind,
    variable
  }: {
    readonly error: BindError
    readonly kind: ListenerKind
    readonly variable: string
  }) {
    const advice =
      error.code === "EADDRNOTAVAIL"
        ? "set WEFT_BIND_ADDRESS to one that it has"
        : `stop what has it, or set ${variable} to another port (0 for any free one)`
    super(`the ${COMPONENTS[kind]} listener ${error.message}; ${advice}`)
  }
}

/** ztunnel's names (reference ops §1.5). */
const COMPONENTS: Record<ListenerKind, string> = {
  outbound: "outbound",
  inbound: "inbound",
  inboundPlaintext: "inbound plaintext",
  socks5: "socks5",
  readiness: "readiness"
}

export const dedicated = Effect.fnUntraced(function* (settings: ProxySettings) {
  const readiness = yield* Readiness
  yield* startProbes(0, settings.bindAddress)
  // with half a mesh, or with none, connections would go past policies that have not come yet
  yield* readiness.completed("state manager")
  yield* startSet(1, dedicatedPlan(settings))
  yield* readiness.complete("proxy")
})
