/** The listeners of one proxy set on one shard: who accepts what, and which program it goes to. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Net from "node:net"
import type { SocketAddress } from "../domain/Address.ts"
import { verifyClient } from "../domain/cert/SubjectAltName.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { isStale } from "../domain/decide/TunnelTarget.ts"
import { parseIdentity, type Spiffe } from "../domain/Identity.ts"
import { identityOf } from "../domain/mesh/Workload.ts"
import type { ListenerSpec, ProxyListenerKind, ProxySet } from "../domain/shard/Message.ts"
import { type HboneServer, makeHboneServer } from "../layers/hbone/HboneServer.ts"
import { makePool } from "../layers/hbone/HbonePool.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { serverOptions } from "../layers/identity/TlsContexts.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { ShardMetrics } from "../layers/observe/Metrics.ts"
import { type Accepted, Listeners } from "../layers/os/Listener.ts"
import { Native } from "../layers/os/Native.ts"
import { TcpConduit } from "../layers/os/TcpConduit.ts"
import { Connections } from "../layers/runtime/Connections.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { denied, unknownWorkload } from "./connection.ts"
import { makeInbound } from "./inbound.ts"
import { makeOutbound } from "./outbound.ts"
import { makePassthrough } from "./passthrough.ts"
import { makeSocks5 } from "./socks5.ts"
import { makeTracked } from "./tracked.ts"

export interface ServedSet {
  readonly listeners: ReadonlyArray<ListenerSpec>
  /** Tells the peers of all tunnels to open no more streams. */
  readonly goAway: Effect.Effect<void>
  /** To be run when the mesh has changed: closes the tunnels whose targets are no longer there. */
  readonly onMeshChange: Effect.Effect<void>
}

/**
 * Accepts for `set` until `accepting` closes; tunnels and connections live in the scope around it. Listeners that the
 * shard bound itself are answered with the address they got.
 */
export const serve = Effect.fnUntraced(function* (set: ProxySet, accepting: Scope.Scope) {
  const connections = yield* Connections
  const listeners = yield* Listeners
  const mesh = yield* MeshReplica
  const metrics = yield* ShardMetrics
  const settings = yield* Settings
  const tracked = yield* makeTracked
  const { linux } = yield* Native
  const tunnels = yield* makeTunnels(set)
  const pool = yield* makePool({
    unusedReleaseMs: settings.pool.unusedReleaseMs,
    onOpened: () => metrics.add("tunnelsOpened", 1),
    onClosed: () => metrics.add("tunnelsClosed", 1)
  })
  const run = yield* connections.runner<never>()
  const outbound = yield* makeOutbound(set, pool)
  const passthrough = yield* makePassthrough(set)
  const socks5 = yield* makeSocks5(set, pool)

  const conduit = (accepted: Accepted): TcpConduit => {
    const downstream = new TcpConduit((onread) => tracked(accepted.socket({ allowHalfOpen: true, onread })))
    if (linux !== undefined) downstream.resetOnDeath(linux, true)
    return downstream
  }
  /** The socket belongs to the fiber from its first step on. */
  const owning = <R>(downstream: TcpConduit, connection: Effect.Effect<void, ProxyError, R>) =>
    Effect.andThen(
      Effect.addFinalizer(() => Effect.sync(() => downstream.destroy())),
      connection
    )

  const handlers: Record<ProxyListenerKind, (accepted: Accepted) => void> = {
    outbound: (accepted) => {
      const downstream = conduit(accepted)
      const target = accepted.originalDestination()
      run(owning(downstream, outbound({ downstream, source: accepted.peer, target })))
    },
    inboundPlaintext: (accepted) => {
      const downstream = conduit(accepted)
      run(owning(downstream, passthrough(downstream, accepted.peer, accepted.originalDestination())))
    },
    socks5: (accepted) => {
      const downstream = conduit(accepted)
      run(owning(downstream, socks5(downstream, accepted.peer)))
    },
    inbound: (accepted) => {
      const socket = tracked(accepted.socket({ allowHalfOpen: false }))
      run(tunnels.accept(socket, accepted.peer, accepted.local()))
    }
  }
  const served: Array<ListenerSpec> = []
  for (const spec of set.listeners) {
    const address = yield* Effect.provideService(listeners.listen(spec, handlers[spec.kind]), Scope.Scope, accepting)
    served.push({ ...spec, address })
  }
  const onMeshChange = Effect.sync(() => pool.retire((target) => isStale(mesh.current(), target)))
  const answer: ServedSet = { listeners: served, goAway: tunnels.goAway, onMeshChange }
  return answer
})

/** The HBONE server of each identity that the set's workload has had, made at its first tunnel. */
const makeTunnels = Effect.fnUntraced(function* (set: ProxySet) {
  const scope = yield* Effect.scope
  const access = yield* AccessLog
  const certificates = yield* CertificateReplica
  const run = yield* (yield* Connections).runner<never>()
  const inbound = yield* makeInbound(set)
  const mesh = yield* MeshReplica
  const metrics = yield* ShardMetrics
  const settings = yield* Settings
  const servers = new Map<Spiffe, { readonly server: HboneServer; bundle: unknown }>()
  const refused = (peer: SocketAddress | undefined, local: SocketAddress | undefined, error: ProxyError) =>
    denied(access, "destination", peer, local, error)

  const serverFor = Effect.fnUntraced(function* (identity: Spiffe) {
    const bundle = yield* certificates.get(identity)
    const known = servers.get(identity)
    if (known !== undefined) {
      // renewed meanwhile: the next handshake shows the new one
      if (known.bundle !== bundle) known.server.setTls(serverOptions(bundle, settings.tls))
      known.bundle = bundle
      return known.server
    }
    const { trustDomain } = Result.getOrThrow(parseIdentity(identity))
    const server = yield* makeHboneServer({
      settings,
      tls: serverOptions(bundle, settings.tls),
      verify: (socket) =>
        Result.match(verifyClient(socket.getPeerX509Certificate()?.subjectAltName, trustDomain), {
          onSuccess: (principal) => ({ principal }),
          onFailure: ({ message }) => ({ refused: message })
        }),
      onStream: (stream, ends) => run(inbound(stream, ends)),
      onRefused: (peer, local, detail) =>
        refused(peer, local, proxyError(Reason.TlsFailed({ address: peer === undefined ? "-" : peer.ip, detail }))),
      onOpened: () => metrics.add("tunnelsOpened", 1),
      onClosed: () => metrics.add("tunnelsClosed", 1)
    }).pipe(Effect.provideService(Scope.Scope, scope))
    servers.set(identity, { server, bundle })
    return server
  })

  return {
    accept: (socket: Net.Socket, peer: SocketAddress, local: SocketAddress) =>
      Effect.suspend(() => {
        const workload = mesh.current().localWorkload(set.workload)
        return workload === undefined ? Effect.fail(unknownWorkload(set.workload)) : serverFor(identityOf(workload))
      }).pipe(
        Effect.map((server) => server.accept(socket)),
        Effect.onError(() => Effect.sync(() => socket.destroy())),
        Effect.tapError((error) => Effect.sync(() => refused(peer, local, error)))
      ),
    goAway: Effect.suspend(() =>
      Effect.forEach(servers.values(), ({ server }) => server.goAway, { concurrency: "unbounded", discard: true })
    )
  }
})
