/** Outbound: from an application of our workload to wherever it wants to go (reference datapath §2). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { formatSocketAddress, type Ip, type SocketAddress } from "../domain/Address.ts"
import type { ConnectionRecord } from "../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { resolve, type Upstream } from "../domain/decide/Resolve.ts"
import { isSelfCall } from "../domain/decide/SelfCall.ts"
import type { Spiffe } from "../domain/Identity.ts"
import { identityOf, type Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { baggageOf } from "../domain/wire/Baggage.ts"
import { formatForwarded } from "../domain/wire/Forwarded.ts"
import { formatTraceparent, makeTraceContext } from "../domain/wire/TraceContext.ts"
import { openTunnel } from "../layers/hbone/HboneClient.ts"
import type { HbonePool } from "../layers/hbone/HbonePool.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { clientOptions } from "../layers/identity/TlsContexts.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { isOwnAddress } from "../layers/os/OwnAddresses.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { denied, makeCarry, monotonicMs, newRecord, unknownWorkload } from "./connection.ts"

export interface OutboundConnection {
  readonly downstream: Conduit
  readonly source: SocketAddress
  /** Where the application wanted to go. */
  readonly target: SocketAddress
  readonly early?: Buffer | undefined
  /** Told once, before any byte is moved, that the upstream is there, or why it will never be. */
  readonly onOutcome?: (failed: Reason | undefined) => void
}

export const makeOutbound = Effect.fnUntraced(function* (set: ProxySet, pool: HbonePool) {
  const { network } = yield* Settings
  const access = yield* AccessLog
  const carry = yield* makeCarry
  const clock = yield* Clock.Clock
  const mesh = yield* MeshReplica
  const random = yield* Random.Random
  const reach = yield* makeReach(set, pool)

  const decide = (target: SocketAddress) => {
    const state = mesh.current()
    const source = state.localWorkload(set.workload)
    if (isSelfCall(target, set.illegalPorts, isOwnAddress)) return Result.fail(proxyError(Reason.SelfCall()))
    if (source === undefined) return Result.fail(unknownWorkload(set.workload))
    const request = { source, target, network, hbonePort: set.hbonePort, random: random.nextDoubleUnsafe() }
    return Result.map(resolve(state, request), (upstream) => ({ source, upstream }))
  }

  return ({ downstream, early, onOutcome, source, target }: OutboundConnection) =>
    Effect.suspend(() => {
      const record = newRecord("source", source, target, monotonicMs(clock))
      const decision = decide(target)
      if (Result.isFailure(decision)) {
        denied(access, "source", source, target, decision.failure)
        onOutcome?.(decision.failure.reason)
        return Effect.fail(decision.failure)
      }
      note(record, decision.success.source, decision.success.upstream)
      return carry(
        record,
        Effect.mapBoth(reach(record, decision.success.source, decision.success.upstream), {
          onSuccess: (upstream) => {
            onOutcome?.(undefined)
            return { downstream, upstream, early }
          },
          onFailure: (error) => {
            onOutcome?.(error.reason)
            return error
          }
        })
      )
    })
})

/** What the decision says about the connection. */
const note = (record: ConnectionRecord, source: Workload, upstream: Upstream): void => {
  record.sourceWorkload = source
  switch (upstream._tag) {
    case "Passthrough":
      return
    case "Direct":
      record.destination = upstream.address
      record.destinationWorkload = upstream.workload
      record.service = upstream.service
      return
    case "Hbone":
      record.destination = upstream.nextHop
      record.hboneAuthority = upstream.authority
      record.destinationWorkload = upstream.workload
      record.service = upstream.service
      record.mutualTls = true
      record.sourceIdentity = identityOf(source)
  }
}

/** How the other side is reached: a dial, or a stream of a tunnel. */
const makeReach = Effect.fnUntraced(function* (set: ProxySet, pool: HbonePool) {
  const certificates = yield* CertificateReplica
  const dialer = yield* Dialer
  const random = yield* Random.Random
  const nextRandom = () => random.nextDoubleUnsafe()
  const settings = yield* Settings

  const open = (identity: Spiffe, upstream: Hbone) =>
    Effect.flatMap(certificates.get(identity), (bundle) =>
      openTunnel({
        nextHop: upstream.nextHop,
        tls: clientOptions(bundle, settings.tls, upstream.identities),
        http2: settings.http2,
        maxStreams: settings.pool.maxStreams,
        handshakeTimeoutMs: settings.handshakeTimeoutMs,
        dial: (address) => Effect.mapError(dialer.dialSocket(address, set.localIp), asHbone)
      })
    )

  return (
    record: ConnectionRecord,
    source: Workload,
    upstream: Upstream
  ): Effect.Effect<Conduit, ProxyError, Scope.Scope> => {
    if (upstream._tag === "Passthrough") return dialer.dial(upstream.target, set.localIp)
    if (upstream._tag === "Direct") return dialer.dial(upstream.address, set.localIp)
    const identity = identityOf(source)
    const request = {
      authority: upstream.authority,
      headers: {
        baggage: baggageOf(source),
        forwarded: formatForwarded(record.source, upstream.service?.hostname),
        traceparent: formatTraceparent(makeTraceContext(nextRandom))
      }
    }
    return Effect.map(
      pool.connect(poolKey(identity, record.source.ip, upstream), request, open(identity, upstream)),
      ({ conduit }) => conduit
    )
  }
})

type Hbone = Extract<Upstream, { readonly _tag: "Hbone" }>

/** ztunnel's key and the workload: a reused pod IP must never meet an old tunnel (reference users §1.3). */
const poolKey = (identity: Spiffe, from: Ip, { identities, nextHop, workload }: Hbone): string =>
  [identity, ...identities, from, formatSocketAddress(nextHop), workload.uid].join(" ")

/** A dial to an HBONE port that timed out is most often a NetworkPolicy, and is named so. */
const asHbone = (error: ProxyError): ProxyError =>
  error.reason._tag === "ConnectFailed" && error.reason.code === "ETIMEDOUT"
    ? proxyError(Reason.HboneConnectTimeout({ address: error.reason.address, detail: error.reason.detail }))
    : error
