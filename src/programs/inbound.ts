/** Inbound HBONE: one CONNECT stream of a tunnel, to our workload (reference datapath §4). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { httpStatus, type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { inboundTarget } from "../domain/decide/InboundTarget.ts"
import { identityOf } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { parseAuthority } from "../domain/wire/Authority.ts"
import { baggageOf, parseBaggage } from "../domain/wire/Baggage.ts"
import { parseForwardedHost } from "../domain/wire/Forwarded.ts"
import type { IncomingStream, TunnelEnds } from "../layers/hbone/HboneServer.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { ShardMetrics } from "../layers/observe/Metrics.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { carry, denied, newRecord, unknownWorkload } from "./connection.ts"

export const inbound = Effect.fnUntraced(function* (set: ProxySet, stream: IncomingStream, ends: TunnelEnds) {
  const { network, responseBaggage } = yield* Settings
  const access = yield* AccessLog
  const dialer = yield* Dialer
  const metrics = yield* ShardMetrics
  const mesh = (yield* MeshReplica).current()
  const record = newRecord("destination", ends.peer, ends.local, yield* Clock.currentTimeMillis)
  const refuse = (error: ProxyError) => Effect.sync(() => stream.refuse(httpStatus(error.reason)))
  // the stream is ours from here on: it never outlives this fiber
  metrics.add("streamsOpen", 1)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      stream.cut()
      metrics.add("streamsOpen", -1)
    })
  )

  const decided = Effect.gen(function* () {
    if (stream.method !== "CONNECT") return yield* proxyError(Reason.NonConnectMethod({ method: stream.method }))
    const authority = yield* Effect.mapError(Effect.fromResult(parseAuthority(stream.authority)), () =>
      proxyError(Reason.InvalidAuthority({ authority: stream.authority }))
    )
    const workload = mesh.localWorkload(set.workload)
    if (workload === undefined) return yield* unknownWorkload(set.workload)
    const forwarded = stream.header("forwarded")[0]
    const forwardedHost = forwarded === undefined ? undefined : parseForwardedHost(forwarded)
    const { illegalPorts } = set
    const request = { workload, connected: ends.local, authority, forwardedHost, illegalPorts }
    return { workload, ...(yield* Effect.fromResult(inboundTarget(mesh, request))) }
  })
  const { service, target, workload } = yield* Effect.tapError(decided, (error) => {
    denied(access, "destination", ends.peer, ends.local, error)
    return refuse(error)
  })

  record.hboneAuthority = stream.authority
  record.mutualTls = true
  record.sourceIdentity = ends.principal
  record.destinationIdentity = identityOf(workload)
  record.destinationWorkload = workload
  record.service = service
  // traffic through another network's gateway comes from the gateway's address: only its baggage tells whose it is (§4.9)
  const ownNetwork = stream
    .header("x-forwarded-network")
    .every((other) => other.toLowerCase() === network.toLowerCase())
  record.sourceWorkload = ownNetwork ? mesh.workloadByAddress(network, ends.peer.ip) : undefined
  record.sourceBaggage = parseBaggage(stream.header("baggage"))

  yield* carry(
    record,
    Effect.gen(function* () {
      const upstream = yield* Effect.tapError(dialer.dial(target), refuse)
      const downstream = stream.accept(responseBaggage ? { baggage: baggageOf(workload) } : {})
      if (downstream === undefined) return yield* proxyError(Reason.ReceiveFailed({ detail: "client disconnected" }))
      return { downstream, upstream }
    })
  )
})
