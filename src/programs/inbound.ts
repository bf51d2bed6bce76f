/** Inbound HBONE: one CONNECT stream of a tunnel, to our workload (reference datapath §4). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { SocketAddress } from "../domain/Address.ts"
import { httpStatus, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { dialledAddress, type InboundTarget, inboundTarget } from "../domain/decide/InboundTarget.ts"
import type { Mesh } from "../domain/mesh/Mesh.ts"
import type { Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { parseAuthority } from "../domain/wire/Authority.ts"
import { baggageOf, parseBaggage } from "../domain/wire/Baggage.ts"
import { parseForwardedHost } from "../domain/wire/Forwarded.ts"
import { encodeProxyHeader } from "../domain/wire/ProxyProtocol.ts"
import type { IncomingStream, TunnelEnds } from "../layers/hbone/HboneServer.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { ShardMetrics } from "../layers/observe/Metrics.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { makeAuthorise } from "./authorise.ts"
import { denied, makeCarry, monotonicMs, newRecord, unknownWorkload } from "./connection.ts"

export const makeInbound = Effect.fnUntraced(function* (set: ProxySet) {
  const settings = yield* Settings
  const { network } = settings
  const access = yield* AccessLog
  const authorise = yield* makeAuthorise(set)
  const carry = yield* makeCarry
  const clock = yield* Clock.Clock
  const dialer = yield* Dialer
  const mesh = yield* MeshReplica
  const metrics = yield* ShardMetrics

  /** The connection itself, once the stream has an owner. */
  const connection = (stream: IncomingStream, ends: TunnelEnds) =>
    Effect.suspend(() => {
      const state = mesh.current()
      const record = newRecord("destination", ends.peer, ends.local, monotonicMs(clock))
      const decision = decide(state, set, network, stream, ends.local)
      if (Result.isFailure(decision)) {
        denied(access, "destination", ends.peer, ends.local, decision.failure)
        return Effect.fail(decision.failure)
      }
      const { service, target, workload } = decision.success
      record.hboneAuthority = stream.authority
      record.mutualTls = true
      record.sourceIdentity = ends.principal
      record.destinationWorkload = workload
      record.service = service
      // traffic through another network's gateway comes from the gateway's address: its baggage tells whose it is (§4.9)
      record.sourceWorkload = isOwnNetwork(stream, network) ? state.workloadByAddress(network, ends.peer.ip) : undefined
      record.sourceBaggage = parseBaggage(stream.header("baggage"))
      return carry(
        record,
        reach(stream, ends, workload, decision.success),
        authorise({ source: ends.peer, destination: target, identity: ends.principal })
      )
    })

  /** The application first, then the 200, then what the application is told of the client; none of our own bytes count. */
  const reach = (stream: IncomingStream, ends: TunnelEnds, workload: Workload, to: InboundTarget) =>
    Effect.flatMap(dialer.dial(dialledAddress(to, settings.localhostAppTunnel)), (upstream) => {
      const downstream = stream.accept(settings.responseBaggage ? { baggage: baggageOf(workload) } : {})
      if (downstream === undefined) {
        return Effect.fail(proxyError(Reason.ReceiveFailed({ detail: "client disconnected" })))
      }
      if (to.proxy !== undefined) upstream.write(proxyHeader(ends, to.proxy.destination), ignore)
      return Effect.succeed({ downstream, upstream })
    })

  return (stream: IncomingStream, ends: TunnelEnds) => {
    metrics.add("streamsOpen", 1)
    const answer = answerOnce(stream)
    // the stream is ours from here on: it never outlives this fiber
    const release = Effect.sync(() => {
      stream.cut()
      metrics.add("streamsOpen", -1)
    })
    return Effect.andThen(
      Effect.addFinalizer(() => release),
      Effect.tapError(connection(answer, ends), ({ reason }) => Effect.sync(() => answer.refuse(httpStatus(reason))))
    )
  }
})

/** Whatever goes wrong before the 200 is answered with a status; nothing is after it. */
const answerOnce = (stream: IncomingStream): IncomingStream => {
  let answered = false
  return {
    ...stream,
    accept: (headers) => {
      answered = true
      return stream.accept(headers)
    },
    refuse: (status) => {
      if (!answered) stream.refuse(status)
    }
  }
}

const proxyHeader = ({ peer, principal }: TunnelEnds, destination: SocketAddress): Buffer =>
  Buffer.from(encodeProxyHeader({ addresses: { source: peer, destination }, identity: principal }))

const decide = (mesh: Mesh, set: ProxySet, network: string, stream: IncomingStream, connected: SocketAddress) => {
  if (stream.method !== "CONNECT") return fail(Reason.NonConnectMethod({ method: stream.method }))
  const authority = parseAuthority(stream.authority)
  if (Result.isFailure(authority)) return fail(Reason.InvalidAuthority({ authority: stream.authority }))
  const workload = mesh.localWorkload(set.workload)
  if (workload === undefined) return Result.fail(unknownWorkload(set.workload))
  const forwarded = stream.header("forwarded")[0]
  const forwardedHost = forwarded === undefined ? undefined : parseForwardedHost(forwarded)
  const { illegalPorts } = set
  const request = { workload, connected, authority: authority.success, forwardedHost, illegalPorts, network }
  return Result.map(inboundTarget(mesh, request), (target) => ({ workload, ...target }))
}

const fail = (reason: Reason) => Result.fail(proxyError(reason))

const isOwnNetwork = (stream: IncomingStream, network: string): boolean =>
  stream.header("x-forwarded-network").every((other) => other.toLowerCase() === network.toLowerCase())

const ignore = () => {}
