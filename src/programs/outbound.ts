/** Outbound: from an application of our workload to wherever it wants to go (reference datapath §2). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { Ip, SocketAddress } from "../domain/Address.ts"
import type { ConnectionRecord } from "../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { resolve } from "../domain/decide/Resolve.ts"
import { isSelfCall } from "../domain/decide/SelfCall.ts"
import type { NameNeeded, OutboundRequest, Upstream } from "../domain/decide/Upstream.ts"
import { identityOf, type Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import type { HbonePool } from "../layers/hbone/HbonePool.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { ShardMetrics } from "../layers/observe/Metrics.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Lookup } from "../layers/os/Lookup.ts"
import { isOwnAddress } from "../layers/os/OwnAddresses.ts"
import { OpenByWorkload } from "../layers/runtime/OpenByWorkload.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { denied, makeCarry, monotonicMs, newRecord, unknownWorkload } from "./connection.ts"
import { makeReach } from "./reach.ts"

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
  const { leastLoaded } = yield* Settings
  const access = yield* AccessLog
  const carry = yield* makeCarry
  const clock = yield* Clock.Clock
  const open = yield* OpenByWorkload
  const decide = yield* makeDecide(set)
  const reach = yield* makeReach(set, pool)

  /** Counts the connection as one of its workload's, from the decision to its end. */
  const counted = <A, E, R>(upstream: Upstream, connection: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const uid = leastLoaded ? endpointOf(upstream)?.uid : undefined
    if (uid === undefined) return connection
    return Effect.uninterruptibleMask((restore) => {
      open.opened(uid)
      return Effect.ensuring(
        restore(connection),
        Effect.sync(() => open.closed(uid))
      )
    })
  }

  return ({ downstream, early, onOutcome, source, target }: OutboundConnection) =>
    Effect.suspend(() => {
      const record = newRecord("source", source, target, monotonicMs(clock))
      const decision = Effect.tapError(decide(source.ip, target), (error) =>
        Effect.sync(() => {
          denied(access, "source", source, target, error)
          onOutcome?.(error.reason)
        })
      )
      return Effect.flatMap(decision, ({ upstream, workload }) => {
        note(record, workload, upstream)
        const conduits = Effect.mapBoth(reach(record, workload, upstream), {
          onSuccess: (upstream) => {
            onOutcome?.(undefined)
            return { downstream, upstream, early }
          },
          onFailure: (error) => {
            onOutcome?.(error.reason)
            return error
          }
        })
        return counted(upstream, carry(record, conduits))
      })
    })
})

/**
 * Where a connection goes by the mesh of now. Names that the decision depends on are looked up on the way; each time it is
 * made anew, by the mesh as it is then, with the same random number.
 */
const makeDecide = Effect.fnUntraced(function* (set: ProxySet) {
  const { leastLoaded, network } = yield* Settings
  const lookup = yield* Lookup
  const mesh = yield* MeshReplica
  const metrics = yield* ShardMetrics
  const open = yield* OpenByWorkload
  const random = yield* Random.Random
  const loadOf = leastLoaded ? open.of : undefined

  const decide = (asked: Omit<OutboundRequest, "source">): Result.Result<Decision, ProxyError | NameNeeded> => {
    const state = mesh.current()
    const source = state.localWorkload(set.workload)
    if (isSelfCall(asked.target, set.illegalPorts, isOwnAddress)) return Result.fail(proxyError(Reason.SelfCall()))
    if (source === undefined) return Result.fail(unknownWorkload(set.workload))
    return Result.map(resolve(state, { ...asked, source }), (upstream) => ({ workload: source, upstream }))
  }

  return (sourceIp: Ip, target: SocketAddress): Effect.Effect<Decision, ProxyError> => {
    const names = new Map<string, ReadonlyArray<Ip>>()
    const asked = {
      sourceIp,
      target,
      network,
      hbonePort: set.hbonePort,
      random: random.nextDoubleUnsafe(),
      names: (hostname: string) => names.get(hostname),
      loadOf
    }
    const decided: Effect.Effect<Decision, ProxyError> = Effect.suspend(() => {
      const decision = decide(asked)
      if (Result.isSuccess(decision)) return Effect.succeed(decision.success)
      const { failure } = decision
      if (failure._tag === "ProxyError") return Effect.fail(failure)
      const { hostname } = failure
      // the mesh names another each time: it changes faster than names are found
      if (names.size === MOST_NAMES) return Effect.fail(proxyError(Reason.NoResolvedAddresses({ workload: hostname })))
      metrics.add("onDemandDns", 1)
      return Effect.flatMap(lookup.addresses(hostname), (addresses) => {
        names.set(hostname, addresses)
        return decided
      })
    })
    return decided
  }
})

interface Decision {
  /** Who connects. */
  readonly workload: Workload
  readonly upstream: Upstream
}

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
      record.destinationWorkload = upstream.workload
      break
    case "DoubleHbone":
      // who it is will be known when the far end has said so; ztunnel says that the connection is opened only then
      break
  }
  record.destination = upstream.nextHop
  record.hboneAuthority = upstream.authority
  record.service = upstream.service
  record.mutualTls = true
  record.sourceIdentity = identityOf(source)
}

/** Whose connection it is when loads are compared: behind a gateway, the endpoint that it was meant for. */
const endpointOf = (upstream: Upstream): Workload | undefined => {
  if (upstream._tag === "Passthrough") return undefined
  return upstream._tag === "DoubleHbone" ? upstream.endpoint : upstream.workload
}

/** A waypoint, or a gateway, and the workload behind it: no decision depends on more. */
const MOST_NAMES = 4
