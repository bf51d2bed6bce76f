/** Outbound: from an application of our workload to wherever it wants to go (reference datapath §2). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { formatSocketAddress, type SocketAddress } from "../domain/Address.ts"
import type { ConnectionRecord } from "../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { resolve, type Upstream } from "../domain/decide/Resolve.ts"
import { isSelfCall } from "../domain/decide/SelfCall.ts"
import { identityOf, type Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { baggageOf } from "../domain/wire/Baggage.ts"
import { formatForwarded } from "../domain/wire/Forwarded.ts"
import { formatTraceparent, makeTraceContext, TRACE_CONTEXT_BYTES } from "../domain/wire/TraceContext.ts"
import { openTunnel } from "../layers/hbone/HboneClient.ts"
import type { HbonePool } from "../layers/hbone/HbonePool.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { clientOptions } from "../layers/identity/TlsContexts.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { carry, denied, newRecord, unknownWorkload } from "./connection.ts"

export interface OutboundConnection {
  readonly downstream: Conduit
  readonly source: SocketAddress
  /** Where the application wanted to go. */
  readonly target: SocketAddress
  readonly early?: Buffer
  /** Told once, before any byte is moved, that the upstream is there, or why it will never be. */
  readonly onOutcome?: (failed: Reason | undefined) => void
}

export const outbound = Effect.fnUntraced(function* (set: ProxySet, pool: HbonePool, connection: OutboundConnection) {
  const { downstream, early, onOutcome, source, target } = connection
  const record = newRecord("source", source, target, yield* Clock.currentTimeMillis)
  const { upstream, workload } = yield* Effect.tapError(decide(set, target), (error) =>
    Effect.map(AccessLog, (access) => {
      denied(access, "source", source, target, error)
      onOutcome?.(error.reason)
    })
  )
  note(record, workload, upstream)
  yield* carry(
    record,
    Effect.mapBoth(reach(set, pool, record, workload, upstream), {
      onSuccess: (reached) => {
        onOutcome?.(undefined)
        return { downstream, upstream: reached, early }
      },
      onFailure: (error) => {
        onOutcome?.(error.reason)
        return error
      }
    })
  )
})

const decide = Effect.fnUntraced(function* (set: ProxySet, target: SocketAddress) {
  const { network } = yield* Settings
  const mesh = (yield* MeshReplica).current()
  const workload = mesh.localWorkload(set.workload)
  if (isSelfCall(target, set.illegalPorts, { loopbackOnly: true })) return yield* proxyError(Reason.SelfCall())
  if (workload === undefined) return yield* unknownWorkload(set.workload)
  const random = yield* Random.next
  const request = { source: workload, target, network, hbonePort: set.hbonePort, random }
  return { workload, upstream: yield* Effect.fromResult(resolve(mesh, request)) }
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
      record.destinationIdentity = identityOf(upstream.workload)
  }
}

const reach = Effect.fnUntraced(function* (
  set: ProxySet,
  pool: HbonePool,
  record: ConnectionRecord,
  source: Workload,
  upstream: Upstream
): Effect.fn.Return<Conduit, ProxyError, Scope.Scope | Dialer | CertificateReplica | Settings> {
  const dialer = yield* Dialer
  if (upstream._tag === "Passthrough") return yield* dialer.dial(upstream.target, set.localIp)
  if (upstream._tag === "Direct") return yield* dialer.dial(upstream.address, set.localIp)
  const certificates = yield* CertificateReplica
  const settings = yield* Settings
  const identity = identityOf(source)
  const open = Effect.flatMap(certificates.get(identity), (bundle) =>
    openTunnel({
      nextHop: upstream.nextHop,
      tls: clientOptions(bundle, settings.tls, upstream.identities),
      http2: settings.http2,
      maxStreams: settings.pool.maxStreams,
      handshakeTimeoutMs: settings.handshakeTimeoutMs,
      dial: (address) => Effect.mapError(dialer.dialSocket(address, set.localIp), asHbone)
    })
  )
  // ztunnel's key and the workload: a reused pod IP must never meet an old tunnel (reference users §1.3)
  const key = [
    identity,
    ...upstream.identities,
    record.source.ip,
    formatSocketAddress(upstream.nextHop),
    upstream.workload.uid
  ].join(" ")
  const trace = makeTraceContext(yield* randomBytes(TRACE_CONTEXT_BYTES))
  const { conduit } = yield* pool.connect(
    key,
    {
      authority: upstream.authority,
      headers: {
        baggage: baggageOf(source),
        forwarded: formatForwarded(record.source, upstream.service?.hostname),
        traceparent: formatTraceparent(trace)
      }
    },
    open
  )
  return conduit
})

/** A dial to an HBONE port that timed out is most often a NetworkPolicy, and is named so. */
const asHbone = (error: ProxyError): ProxyError =>
  error.reason._tag === "ConnectFailed" && /timed out|ETIMEDOUT/.test(error.reason.detail)
    ? proxyError(Reason.HboneConnectTimeout({ address: error.reason.address, detail: error.reason.detail }))
    : error

/** `count` is a multiple of 4. */
const randomBytes = (count: number): Effect.Effect<Uint8Array> =>
  Effect.map(Random.Random, (random) => {
    const words = Uint32Array.from({ length: count / 4 }, () => random.nextDoubleUnsafe() * 2 ** 32)
    return new Uint8Array(words.buffer)
  })
