/**
 * The live connections of one shard: one fiber each, in one set, and one entry each in the registry, with the means to cut
 * it for a reason. What the set holds is what the shard has: when it is empty, nothing is left.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { ConnectionRecord } from "../../domain/connection/ConnectionRecord.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"

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
    /** To be undone by `unregister`. The answer fails when the connection is to be cut. */
    readonly register: (record: ConnectionRecord) => Effect.Effect<never, ProxyError>
    readonly unregister: (record: ConnectionRecord) => void
    readonly live: () => Iterable<ConnectionRecord>
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
      const registry = new Map<ConnectionRecord, Deferred.Deferred<never, ProxyError>>()
      const cutAll = Effect.sync(() => {
        for (const cut of registry.values()) {
          Deferred.doneUnsafe(cut, Exit.fail(proxyError(Reason.ClosedFromDrain())))
        }
      })
      return Connections.of({
        runner: <R>() =>
          Effect.map(
            FiberSet.runtime(fibers)<Exclude<R, Scope.Scope>>(),
            (fork) => (connection: Effect.Effect<void, ProxyError, R | Scope.Scope>) =>
              fork(Effect.scoped(connection)).addObserver(onExit)
          ),
        register: (record) => {
          const cut = Deferred.makeUnsafe<never, ProxyError>()
          registry.set(record, cut)
          return Deferred.await(cut)
        },
        unregister: (record) => void registry.delete(record),
        live: () => registry.keys(),
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

/** How long a connection may take to end after it was cut. */
const CUT_MS = 500
