/** How the other side of an outbound connection is reached: a dial, a stream of a tunnel, a tunnel in such a stream. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { formatSocketAddress, type Ip, type SocketAddress } from "../domain/Address.ts"
import type { ConnectionRecord } from "../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import type { Upstream } from "../domain/decide/Upstream.ts"
import type { Spiffe } from "../domain/Identity.ts"
import type { Service } from "../domain/mesh/Service.ts"
import { identityOf, type Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { baggageOf, parseBaggage } from "../domain/wire/Baggage.ts"
import { formatForwarded } from "../domain/wire/Forwarded.ts"
import { formatTraceparent, makeTraceContext } from "../domain/wire/TraceContext.ts"
import { connectFar } from "../layers/hbone/DoubleHbone.ts"
import { type Connected, type ConnectRequest, openTunnel } from "../layers/hbone/HboneClient.ts"
import type { HbonePool, PoolKey } from "../layers/hbone/HbonePool.ts"
import { CertificateReplica } from "../layers/identity/CertificateReplica.ts"
import { clientOptions } from "../layers/identity/TlsContexts.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"

export const makeReach = Effect.fnUntraced(function* (set: ProxySet, pool: HbonePool) {
  const certificates = yield* CertificateReplica
  const dialer = yield* Dialer
  const random = yield* Random.Random
  const nextRandom = () => random.nextDoubleUnsafe()
  const settings = yield* Settings

  /** What tunnels have in common, to whomever they lead. */
  const secured = (identity: Spiffe, accepted: ReadonlyArray<Spiffe>) =>
    Effect.map(certificates.get(identity), (bundle) => ({
      tls: clientOptions(bundle, settings.tls, accepted),
      http2: settings.http2,
      maxStreams: settings.pool.maxStreams,
      handshakeTimeoutMs: settings.handshakeTimeoutMs
    }))

  /** Through a tunnel to the next hop that others may be in as well. */
  const pooled = (
    identity: Spiffe,
    from: Ip,
    nextHop: NextHop,
    request: ConnectRequest
  ): Effect.Effect<Connected, ProxyError, Scope.Scope> =>
    pool.connect(
      poolKey(identity, from, nextHop),
      request,
      Effect.flatMap(secured(identity, nextHop.identities), (options) =>
        openTunnel({
          ...options,
          peer: formatSocketAddress(nextHop.address),
          transport: Effect.mapError(dialer.dialSocket(nextHop.address, set.localIp), asHbone)
        })
      )
    )

  const requestOf = (record: ConnectionRecord, source: Workload, authority: string, service: Service | undefined) => ({
    authority,
    headers: {
      baggage: baggageOf(source),
      forwarded: formatForwarded(record.source, service?.hostname),
      traceparent: formatTraceparent(makeTraceContext(nextRandom))
    }
  })

  const hbone = (record: ConnectionRecord, source: Workload, upstream: Hbone) => {
    const { authority, identities, nextHop, service, workload } = upstream
    return Effect.map(
      pooled(
        identityOf(source),
        record.source.ip,
        { address: nextHop, identities, workload },
        requestOf(record, source, authority, service)
      ),
      ({ conduit }) => conduit
    )
  }

  /** The inner tunnel is this connection's alone: each may reach another workload behind the gateway. */
  const doubleHbone = Effect.fnUntraced(function* (record: ConnectionRecord, source: Workload, upstream: DoubleHbone) {
    const { authority, gateway, gatewayIdentities, identities, nextHop, service } = upstream
    const identity = identityOf(source)
    const request = requestOf(record, source, authority, service)
    const outer = yield* pooled(
      identity,
      record.source.ip,
      { address: nextHop, identities: gatewayIdentities, workload: gateway },
      request
    )
    const far = yield* connectFar(
      outer,
      {
        ...(yield* secured(identity, identities)),
        identities,
        peer: `${authority} through ${formatSocketAddress(nextHop)}`
      },
      { authority, headers: { ...request.headers, "x-forwarded-network": settings.network } }
    )
    record.destinationBaggage = parseBaggage(far.baggage)
    record.destinationIdentity = far.identity
    return far.conduit
  })

  return (
    record: ConnectionRecord,
    source: Workload,
    upstream: Upstream
  ): Effect.Effect<Conduit, ProxyError, Scope.Scope> => {
    switch (upstream._tag) {
      case "Passthrough":
        return dialer.dial(upstream.target, set.localIp)
      case "Direct":
        return dialer.dial(upstream.address, set.localIp)
      case "Hbone":
        return hbone(record, source, upstream)
      case "DoubleHbone":
        return doubleHbone(record, source, upstream)
    }
  }
})

type Hbone = Extract<Upstream, { readonly _tag: "Hbone" }>
type DoubleHbone = Extract<Upstream, { readonly _tag: "DoubleHbone" }>

interface NextHop {
  readonly address: SocketAddress
  readonly identities: ReadonlyArray<Spiffe>
  readonly workload: Workload
}

/** ztunnel's key and the workload: a reused pod IP must never meet an old tunnel (reference users §1.3). */
const poolKey = (identity: Spiffe, from: Ip, { address, identities, workload }: NextHop): PoolKey => ({
  key: [identity, ...identities, from, formatSocketAddress(address), workload.uid].join(" "),
  target: { uid: workload.uid, network: workload.network, ip: address.ip }
})

/** A dial to an HBONE port that timed out is most often a NetworkPolicy, and is named so. */
const asHbone = (error: ProxyError): ProxyError =>
  error.reason._tag === "ConnectFailed" && error.reason.code === "ETIMEDOUT"
    ? proxyError(Reason.HboneConnectTimeout({ address: error.reason.address, detail: error.reason.detail }))
    : error
