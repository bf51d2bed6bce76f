/**
 * The outbound program of one shard without listeners: a mesh that the test replaces, names that it answers, real sockets
 * on both sides, certificates of its own CA. What would be logged and counted is kept.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { ipUnsafe, type SocketAddress } from "../../src/domain/Address.ts"
import { configure } from "../../src/domain/config/ConfigSchema.ts"
import type { AccessLine } from "../../src/domain/connection/AccessLine.ts"
import type { Reason } from "../../src/domain/connection/ProxyError.ts"
import { isStale } from "../../src/domain/decide/TunnelTarget.ts"
import type { Spiffe } from "../../src/domain/Identity.ts"
import type { Mesh } from "../../src/domain/mesh/Mesh.ts"
import type { CertificateBundle, ProxySet } from "../../src/domain/shard/Message.ts"
import { byteLength, layoutOf, type Slot } from "../../src/domain/shard/MetricLayout.ts"
import { makePool } from "../../src/layers/hbone/HbonePool.ts"
import { CertificateReplica } from "../../src/layers/identity/CertificateReplica.ts"
import { MeshReplica } from "../../src/layers/mesh/MeshReplica.ts"
import { AccessLog } from "../../src/layers/observe/Logging.ts"
import { SharedMetrics, ShardMetrics } from "../../src/layers/observe/Metrics.ts"
import { Dialer } from "../../src/layers/os/Dialer.ts"
import { InHand } from "../../src/layers/os/InHand.ts"
import { Lookup, makeLookup, type Resolver } from "../../src/layers/os/Lookup.ts"
import { Native } from "../../src/layers/os/Native.ts"
import { Connections } from "../../src/layers/runtime/Connections.ts"
import { makeOpenByWorkload, OpenByWorkload } from "../../src/layers/runtime/OpenByWorkload.ts"
import { Settings } from "../../src/layers/runtime/ShardContext.ts"
import { makeOutbound } from "../../src/programs/outbound.ts"
import { bundleOf } from "./hboneTunnel.ts"
import { simpleMesh } from "./SimpleMesh.ts"
import { connectedConduit } from "./tcpConduits.ts"
import { Peer } from "./tcpPeers.ts"
import type { TestCa } from "./TestCa.ts"

export interface OutboundShardOptions {
  readonly ca: TestCa
  /** Where all nodes' HBONE listeners are. */
  readonly hbonePort?: number
  readonly resolver?: Resolver
  readonly env?: Readonly<Record<string, string>>
}

/** The workload that connects, and where from. */
const CLIENT = { namespace: "shop", name: "client", serviceAccount: "default" }
export const FROM: SocketAddress = { ip: ipUnsafe("127.0.0.1"), port: 40_123 }

export const outboundShard = Effect.fnUntraced(function* (options: OutboundShardOptions) {
  const { ca, env = {}, hbonePort = 15008, resolver = (_, answer) => answer([]) } = options
  const lines: Array<AccessLine> = []
  const tunnels = { opened: 0, closed: 0 }
  let mesh: Mesh = simpleMesh({ workloads: [], services: [], policies: [] })
  const openTo = makeOpenByWorkload()
  const shared = Context.get(yield* Layer.build(SharedMetrics.layer(1)), SharedMetrics)
  const settings = settingsOf(env)
  const bundles = new Map<Spiffe, CertificateBundle>()
  const context = yield* Layer.build(
    Layer.mergeAll(
      Layer.succeed(AccessLog, { enabled: (level) => level !== "debug", write: (line) => void lines.push(line) }),
      Layer.succeed(MeshReplica, { current: () => mesh, apply: () => Effect.void, merge: Effect.void }),
      Layer.succeed(CertificateReplica, {
        get: (identity) =>
          Effect.suspend(() => {
            const bundle = bundles.get(identity)
            if (bundle !== undefined) return Effect.succeed(bundle)
            return Effect.tap(bundleOf(ca, identity), (made) => Effect.sync(() => bundles.set(identity, made)))
          }),
        put: () => {},
        fail: () => {}
      }),
      Layer.succeed(Lookup, makeLookup(resolver)),
      Layer.succeed(OpenByWorkload, openTo),
      Connections.layer,
      Dialer.layer(settings),
      ShardMetrics.layer(shared.layout, 0, 1),
      Layer.succeed(Settings, settings)
    ).pipe(
      Layer.provide(InHand.layer(layoutOf(new SharedArrayBuffer(byteLength(1)), 1), 0)),
      Layer.provide(Native.layer)
    )
  )
  const pool = yield* makePool({
    unusedReleaseMs: settings.pool.unusedReleaseMs,
    onOpened: () => (tunnels.opened += 1),
    onClosed: () => (tunnels.closed += 1)
  })
  const set: ProxySet = {
    id: 0,
    workload: CLIENT,
    listeners: [],
    localIp: undefined,
    hbonePort,
    illegalPorts: [15001, 15006, 15008]
  }
  const outbound = yield* Effect.provideContext(makeOutbound(set, pool), context)

  /** An application that connects; `outcomes` is what a SOCKS5 client would be told. */
  const open = Effect.fnUntraced(function* (ip: string, port: number) {
    const { conduit, peer } = yield* connectedConduit
    const outcomes: Array<Reason["_tag"] | "reached"> = []
    const fiber = yield* Effect.forkChild(
      Effect.scoped(
        Effect.andThen(
          Effect.addFinalizer(() => Effect.sync(() => conduit.destroy())),
          outbound({
            downstream: conduit,
            source: FROM,
            target: { ip: ipUnsafe(ip), port },
            onOutcome: (failed) => outcomes.push(failed?._tag ?? "reached")
          })
        )
      ),
      { startImmediately: true }
    )
    const app = new Peer(peer)
    peer.resume()
    return { app, fiber, outcomes }
  })

  return {
    open,
    lines,
    tunnels,
    openTo,
    connections: Context.get(context, Connections),
    counts: (...slots: ReadonlyArray<Slot>) => slots.map((slot) => shared.total(slot)),
    /** As the shard does after a push. */
    setMesh: (next: Mesh) => {
      mesh = next
      pool.retire((target) => isStale(mesh, target))
    }
  }
})

const settingsOf = (env: Readonly<Record<string, string>>) =>
  Result.getOrThrow(
    configure({
      variables: {
        PROXY_MODE: "dedicated",
        PROXY_WORKLOAD_INFO: "shop/client/default",
        LOCAL_XDS: "workloads: []",
        ...env
      },
      meshConfig: undefined,
      proxyConfig: undefined,
      cpuCount: 1
    })
  )
