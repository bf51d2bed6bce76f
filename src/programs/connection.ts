/**
 * The shared way of every connection: record › (identify › decide › authorise in each listener's own file) › reach ›
 * relay › account. What is opened here is closed here, whichever way it ends.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { SocketAddress } from "../domain/Address.ts"
import { completeLine, deniedLine, openedLine } from "../domain/connection/AccessLine.ts"
import type { ConnectionRecord, Outcome, Reporter } from "../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason, responseFlag } from "../domain/connection/ProxyError.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { ShardMetrics } from "../layers/observe/Metrics.ts"
import { type Conduits, relay, type RelayEnd, type Tally } from "../layers/os/Relay.ts"
import { type Authorise, Connections } from "../layers/runtime/Connections.ts"

/** A record with nothing known but where the connection came from. */
export const newRecord = (
  reporter: Reporter,
  source: SocketAddress,
  destination: SocketAddress,
  startedAt: number
): ConnectionRecord => ({
  reporter,
  source,
  destination,
  startedAt,
  hboneAuthority: undefined,
  sourceWorkload: undefined,
  sourceBaggage: undefined,
  sourceIdentity: undefined,
  destinationWorkload: undefined,
  destinationBaggage: undefined,
  destinationIdentity: undefined,
  service: undefined,
  mutualTls: false,
  received: 0,
  sent: 0,
  reset: false
})

/**
 * From "opened" to "closed", each counted and logged exactly once. `reach` brings the two conduits; it and the relay
 * race against the reasons to cut the connection. `authorise` says whether it is allowed by the state of now, and is
 * asked when the connection is registered and no later change can be missed, then by the registry after each change.
 * Like every `make…` here, it reads what it depends on once, not for each connection.
 */
export const makeCarry = Effect.gen(function* () {
  const connections = yield* Connections
  const metrics = yield* ShardMetrics
  const access = yield* AccessLog
  const clock = yield* Clock.Clock
  const addReceived = metrics.adder("bytesReceived")
  const addSent = metrics.adder("bytesSent")
  /** Bytes are counted where they pass: in the record, and for all to see. */
  const tallyOf = (record: ConnectionRecord): Tally => ({
    received: (bytes) => {
      record.received += bytes
      addReceived(bytes)
    },
    sent: (bytes) => {
      record.sent += bytes
      addSent(bytes)
    }
  })
  return <R>(
    record: ConnectionRecord,
    reach: Effect.Effect<Conduits, ProxyError, R>,
    authorise?: Authorise
  ): Effect.Effect<RelayEnd, ProxyError, R> =>
    // never cut between opening and the promise to close
    Effect.uninterruptibleMask((restore) => {
      metrics.add("connectionsOpened", 1)
      metrics.add("connectionsOpen", 1)
      if (access.enabled("debug")) access.write(openedLine(record))
      const cut = connections.register(record, authorise)
      const carried = Effect.suspend(() => {
        const rejected = authorise?.()
        return rejected === undefined
          ? Effect.flatMap(reach, (conduits) => relay(conduits, tallyOf(record)))
          : Effect.fail(rejected)
      })
      return Effect.onExit(restore(Effect.raceFirst(carried, cut)), (exit) =>
        Effect.sync(() => {
          connections.unregister(record)
          account(record, exit, monotonicMs(clock), metrics, access)
        })
      )
    })
})

const account = (
  record: ConnectionRecord,
  exit: Exit.Exit<RelayEnd, ProxyError>,
  now: number,
  metrics: ShardMetrics["Service"],
  access: AccessLog["Service"]
): void => {
  const outcome = outcomeOf(exit)
  record.reset = Exit.isSuccess(exit) && exit.value === "reset"
  metrics.add("connectionsOpen", -1)
  metrics.add("connectionsClosed", 1)
  if (outcome._tag === "Failed" && responseFlag(outcome.reason) !== "-") metrics.add("connectionsFailed", 1)
  if (access.enabled(outcome._tag === "Failed" ? "error" : "info")) access.write(completeLine(record, outcome, now))
}

const outcomeOf = (exit: Exit.Exit<RelayEnd, ProxyError>): Outcome => {
  if (Exit.isSuccess(exit)) return { _tag: "Complete" }
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  if (failure !== undefined) return { _tag: "Failed", reason: failure.error.reason }
  const isBug = exit.cause.reasons.some(Cause.isDieReason)
  return { _tag: "Failed", reason: isBug ? Reason.InternalError() : Reason.ClosedFromDrain() }
}

/** A clock that nobody sets: durations are differences of it. */
export const monotonicMs = (clock: Clock.Clock): number => Number(clock.currentTimeNanosUnsafe()) / 1e6

/** Turned away before it was opened: a warning, and no metrics of traffic (reference datapath §2.1). */
export const denied = (
  access: AccessLog["Service"],
  reporter: Reporter,
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
  error: ProxyError
): void => access.write(deniedLine(reporter, source, destination, error.reason))

export const unknownWorkload = ({
  name,
  namespace,
  serviceAccount
}: {
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
}): ProxyError => proxyError(Reason.UnknownSourceWorkload({ workload: `${serviceAccount}.${namespace} (${name})` }))
