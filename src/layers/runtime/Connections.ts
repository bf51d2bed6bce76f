/**
 * The live connections of one shard: one fiber each, in one set, and one entry each in the registry, with the means to cut
 * it for a reason and to judge it again. What the set holds is what the shard has: when it is empty, nothing is left.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { formatSocketAddress } from "../../domain/Address.ts"
import type { ConnectionRecord } from "../../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import { logTarget } from "../observe/Logging.ts"
import { forEachInSlices } from "./Slices.ts"

export class Connections extends Context.Service<
  Connections,
  {
    /**
     * A function that runs connections, each in a fiber and a scope of its own, starting now. Their errors have been
     * accounted for; a defect is a bug of ours, and is logged.
     */
    readonly runner: <R>() => Effect.Effect<
      (connection: Effect.Effect<void, ProxyError, R | Scope.Scope>) => void,
      never,
      Exclude<R, Scope.Scope>
    >
    /**
     * To be undone by `unregister`. The answer fails when the connection is to be cut. `authorise` says why it is not allowed
     * by the mesh of now; without one it is never judged again.
     */
    readonly register: (record: ConnectionRecord, authorise?: Authorise) => Effect.Effect<never, ProxyError>
    readonly unregister: (record: ConnectionRecord) => void
    readonly live: () => Iterable<ConnectionRecord>
    /** Asks for each whether it is still allowed, in slices, and cuts those that are not (reference state §5.6, datapath §7). */
    readonly rejudge: Effect.Effect<void>
    /** Waits for all to finish; what is left after `deadlineMs` is cut, and waited for. */
    readonly drain: (deadlineMs: number) => Effect.Effect<void>
  }
>()("weft/layers/runtime/Connections") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const fibers = yield* FiberSet.make<void, ProxyError>()
      const log = Effect.runForkWith(yield* Effect.context())
      const onExit = (exit: Exit.Exit<void, ProxyError>) => {
        if (Exit.isFailure(exit) && exit.cause.reasons.some(Cause.isDieReason)) {
          log(Effect.logError("a connection's fiber died", exit.cause))
        }
      }
      const registry = new Map<ConnectionRecord, Entry>()
      const cutAll = Effect.sync(() => {
        for (const { cut } of registry.values()) {
          Deferred.doneUnsafe(cut, Exit.fail(proxyError(Reason.ClosedFromDrain())))
        }
      })
      const judge = (record: ConnectionRecord, { authorise, cut }: Entry) => {
        if (authorise?.() === undefined) return
        // who was cut before may take a while to leave the registry
        if (!Deferred.doneUnsafe(cut, Exit.fail(proxyError(Reason.PolicyChanged())))) return
        log(Effect.logInfo(closedText(record)).pipe(logTarget("proxy::connection_manager")))
      }
      return Connections.of({
        runner: <R>() =>
          Effect.map(
            FiberSet.runtime(fibers)<Exclude<R, Scope.Scope>>(),
            (fork) => (connection: Effect.Effect<void, ProxyError, R | Scope.Scope>) =>
              fork(Effect.scoped(connection)).addObserver(onExit)
          ),
        register: (record, authorise) => {
          const cut = Deferred.makeUnsafe<never, ProxyError>()
          registry.set(record, { cut, authorise })
          return Deferred.await(cut)
        },
        unregister: (record) => void registry.delete(record),
        live: () => registry.keys(),
        // the walk sees what comes and goes meanwhile; who comes has been judged by the same mesh, and is found allowed. Who is
        // cut ends here and now, so that it counts as part of the slice
        rejudge: forEachInSlices(registry, ([record, entry]) => judge(record, entry)),
        drain: Effect.fnUntraced(function* (deadlineMs) {
          const empty = FiberSet.awaitEmpty(fibers)
          yield* Effect.timeoutOption(empty, deadlineMs)
          yield* cutAll
          yield* Effect.timeoutOption(empty, CUT_MS)
          // those that had not got as far as the registry: dialling, shaking hands
          yield* FiberSet.clear(fibers)
        })
      })
    })
  )
}

export type Authorise = () => ProxyError | undefined

interface Entry {
  readonly cut: Deferred.Deferred<never, ProxyError>
  readonly authorise: Authorise | undefined
}

/** ztunnel's words. */
const closedText = ({ destination, destinationWorkload, source, sourceIdentity }: ConnectionRecord): string =>
  `connection ${formatSocketAddress(source)}(${sourceIdentity ?? "None"})->${formatSocketAddress(destination)} ` +
  `(${destinationWorkload?.uid ?? "None"}) closed because it's no longer allowed after a policy update`

/** How long a connection may take to end after it was cut. */
const CUT_MS = 500
