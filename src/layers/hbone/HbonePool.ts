/**
 * The tunnels of one proxy set on one shard, by whom they lead to. Several connections share a tunnel up to the limit of
 * both sides; at most one dial per key is under way, and everyone who waits for it learns how it went; a tunnel that was
 * full is offered again as soon as it has room (ztunnel does none of the three, reference datapath §12.2). Tunnels whose
 * target is no longer what the mesh says are retired: they serve those who are in them, and nobody else.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { TunnelTarget } from "../../domain/decide/TunnelTarget.ts"
import type { ProxyError } from "../../domain/connection/ProxyError.ts"
import { proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Connected, ConnectRequest, Tunnel, TunnelGone } from "./HboneClient.ts"

export interface PoolOptions {
  /** How long a tunnel without streams is kept, ms. */
  readonly unusedReleaseMs: number
  readonly onOpened: () => void
  readonly onClosed: () => void
}

export interface HbonePool {
  /**
   * A CONNECT stream to the next hop of `to`, over a tunnel that exists or that `open` makes. The stream belongs to the
   * caller's scope, the tunnel to the pool's.
   */
  readonly connect: (
    to: PoolKey,
    request: ConnectRequest,
    open: Effect.Effect<Tunnel, ProxyError, Scope.Scope>
  ) => Effect.Effect<Connected, ProxyError, Scope.Scope>
  /** Tunnels to stale targets take no more streams and close with their last one; those without any, now. */
  readonly retire: (isStale: (target: TunnelTarget) => boolean) => void
}

export interface PoolKey {
  /** All that two connections must have in common to share a tunnel, the target included. */
  readonly key: string
  readonly target: TunnelTarget
}

interface Entry {
  readonly to: PoolKey
  /** Each with the way to close it. */
  readonly tunnels: Map<Tunnel, () => void>
  dialling: Deferred.Deferred<void, ProxyError> | undefined
  /** Connections that do not have their stream yet. */
  waiting: number
  /** No longer found by its key: only those who wait get streams. */
  retired: boolean
}

export const makePool = Effect.fnUntraced(function* (
  options: PoolOptions
): Effect.fn.Return<HbonePool, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const entries = new Map<string, Entry>()

  const entryOf = (to: PoolKey): Entry => {
    const known = entries.get(to.key)
    if (known !== undefined) return known
    const entry: Entry = { to, tunnels: new Map(), dialling: undefined, waiting: 0, retired: false }
    entries.set(to.key, entry)
    return entry
  }
  const forget = (entry: Entry) => {
    const used = entry.tunnels.size > 0 || entry.dialling !== undefined || entry.waiting > 0
    if (!used && !entry.retired) entries.delete(entry.to.key)
  }
  /** Closes what nobody uses or is about to use in a retired entry. */
  const sweep = (entry: Entry) => {
    if (!entry.retired || entry.waiting > 0) return
    for (const [tunnel, close] of entry.tunnels) if (tunnel.streams === 0) close()
  }

  /** Makes a tunnel in a scope of its own, which ends with the tunnel, its idleness or the pool. */
  const dial = Effect.fnUntraced(function* (entry: Entry, open: Effect.Effect<Tunnel, ProxyError, Scope.Scope>) {
    const own = yield* Scope.fork(scope)
    const exit = yield* Effect.exit(Scope.provide(open, own))
    if (Exit.isFailure(exit)) {
      yield* Scope.close(own, exit)
      return yield* exit
    }
    const tunnel = exit.value
    let timer: NodeJS.Timeout | undefined
    const close = () => {
      clearTimeout(timer)
      if (!entry.tunnels.delete(tunnel)) return
      options.onClosed()
      forget(entry)
      Effect.runFork(Scope.close(own, Exit.void))
    }
    yield* Scope.addFinalizer(own, Effect.sync(close))
    entry.tunnels.set(tunnel, close)
    options.onOpened()
    const idle = () => {
      clearTimeout(timer)
      sweep(entry)
      if (!entry.tunnels.has(tunnel)) return
      timer = setTimeout(() => {
        if (tunnel.streams === 0) close()
        else idle()
      }, options.unusedReleaseMs).unref()
    }
    tunnel.watch({ onGone: close, onIdle: idle })
    idle()
    return undefined
  })

  /** The dial outlives the connection that asked first, and whether it was interrupted in between: others wait for it. */
  const startDial = (entry: Entry, open: Effect.Effect<Tunnel, ProxyError, Scope.Scope>) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const dialling = (entry.dialling = Deferred.makeUnsafe<void, ProxyError>())
        return Effect.interruptible(dial(entry, open)).pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => {
              entry.dialling = undefined
              forget(entry)
              Deferred.doneUnsafe(dialling, Exit.asVoid(exit))
            })
          ),
          Effect.ignore,
          Effect.forkIn(scope, { startImmediately: true }),
          Effect.as(dialling)
        )
      })
    )

  const free = (entry: Entry, refused: ReadonlySet<Tunnel>): Tunnel | undefined => {
    for (const tunnel of entry.tunnels.keys())
      if (tunnel.streams < tunnel.capacity && !refused.has(tunnel)) return tunnel
    return undefined
  }

  const take = Effect.fnUntraced(function* (
    entry: Entry,
    request: ConnectRequest,
    open: Effect.Effect<Tunnel, ProxyError, Scope.Scope>
  ) {
    const refused = new Set<Tunnel>()
    let dials = 0
    while (true) {
      const tunnel = free(entry, refused)
      if (tunnel !== undefined) {
        const result = yield* Effect.result(tunnel.connect(request))
        if (result._tag === "Success") return result.success
        if (!isGone(result.failure)) return yield* result.failure
        refused.add(tunnel)
        if (refused.size > MAX_REFUSALS) {
          return yield* proxyError(Reason.Http2Failed({ address: request.authority, detail: result.failure.detail }))
        }
        continue
      }
      if (entry.dialling === undefined) {
        dials += 1
        if (dials > MAX_DIALS) {
          return yield* proxyError(
            Reason.Http2Failed({ address: request.authority, detail: `${MAX_DIALS} new tunnels took no stream` })
          )
        }
        yield* Effect.flatMap(startDial(entry, open), Deferred.await)
      } else {
        yield* Deferred.await(entry.dialling)
      }
    }
  })

  const connect: HbonePool["connect"] = (to, request, open) =>
    Effect.uninterruptibleMask((restore) => {
      const entry = entryOf(to)
      entry.waiting += 1
      return Effect.ensuring(
        restore(take(entry, request, open)),
        Effect.sync(() => {
          entry.waiting -= 1
          forget(entry)
          sweep(entry)
        })
      )
    })

  const retire: HbonePool["retire"] = (isStale) => {
    for (const [key, entry] of entries) {
      if (!isStale(entry.to.target)) continue
      entry.retired = true
      entries.delete(key)
      sweep(entry)
    }
  }
  return { connect, retire }
})

const isGone = (error: ProxyError | TunnelGone): error is TunnelGone => error._tag === "TunnelGone"

/** Tunnels that may turn one request away before it fails. */
const MAX_REFUSALS = 3
/** Tunnels that one connection may make before it gives up on a peer that closes each of them at once. */
const MAX_DIALS = 3
