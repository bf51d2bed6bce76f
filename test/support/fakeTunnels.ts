/** A pool of HBONE tunnels that do as the test says: how many streams they take, when a dial ends, when a peer is gone. */
import { PassThrough } from "node:stream"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { ipUnsafe } from "../../src/domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../../src/domain/connection/ProxyError.ts"
import { type Tunnel, TunnelGone } from "../../src/layers/hbone/HboneClient.ts"
import { makePool } from "../../src/layers/hbone/HbonePool.ts"
import { sinkConduit } from "./SinkConduit.ts"

/** Carries up to `capacity` streams; `refuses` turns the next requests away. */
class FakeTunnel implements Tunnel {
  streams = 0
  served = 0
  capacity: number
  refuses: number
  closed = false
  #events: Parameters<Tunnel["watch"]>[0] | undefined

  constructor(capacity: number, refuses: number) {
    this.capacity = capacity
    this.refuses = refuses
  }

  readonly connect: Tunnel["connect"] = () =>
    Effect.suspend(() => {
      if (this.refuses > 0) {
        this.refuses -= 1
        return Effect.fail(new TunnelGone({ detail: "refused" }))
      }
      return Effect.acquireRelease(
        Effect.sync(() => {
          this.streams += 1
          this.served += 1
          return { conduit: sinkConduit(() => {}), duplex: () => new PassThrough(), baggage: [] }
        }),
        () =>
          Effect.sync(() => {
            this.streams -= 1
            if (this.streams === 0) this.#events?.onIdle()
          })
      )
    })

  readonly watch: Tunnel["watch"] = (events) => {
    this.#events = events
  }

  /** The peer has closed it. */
  lose(): void {
    this.capacity = 0
    this.#events?.onGone()
  }
}

/** A pool, and a way to open tunnels that waits until the test lets it. */
export const pooled = Effect.fnUntraced(function* ({ capacity = 100, refuses = 0, unusedReleaseMs = 60_000 } = {}) {
  const counts = { opened: 0, closed: 0 }
  const scope = yield* Scope.fork(yield* Effect.scope)
  const pool = yield* makePool({
    unusedReleaseMs,
    onOpened: () => (counts.opened += 1),
    onClosed: () => (counts.closed += 1)
  }).pipe(Scope.provide(scope))
  const tunnels: Array<FakeTunnel> = []
  const dials: Array<Deferred.Deferred<void, ProxyError>> = []
  const open = Effect.gen(function* () {
    const dial = Deferred.makeUnsafe<void, ProxyError>()
    dials.push(dial)
    yield* Deferred.await(dial)
    const tunnel = new FakeTunnel(capacity, refuses)
    tunnels.push(tunnel)
    yield* Effect.addFinalizer(() => Effect.sync(() => (tunnel.closed = true)))
    return tunnel
  })
  const request = { authority: "10.0.0.1:80", headers: {} }
  /** Asks for a stream in a scope of its own; the key is the workload's uid as well. */
  const ask = Effect.fnUntraced(function* (key = "a") {
    const own = yield* Scope.fork(yield* Effect.scope)
    const to = { key, target: { uid: key, network: "", ip: ipUnsafe("10.0.0.1") } }
    const fiber = yield* Effect.forkChild(Scope.provide(pool.connect(to, request, open), own), {
      startImmediately: true
    })
    return { fiber, end: Scope.close(own, Exit.void) }
  })
  /** Lets the dial number `index` succeed. */
  const letSucceed = (index: number) => Effect.sync(() => Deferred.doneUnsafe(dials[index]!, Exit.void))
  const refuse = (index: number, detail: string) =>
    Effect.sync(() =>
      Deferred.doneUnsafe(dials[index]!, Exit.fail(proxyError(Reason.ConnectFailed({ address: "x", detail }))))
    )
  /** The workload `uid` is no longer at its address. */
  const retire = (uid: string) => Effect.sync(() => pool.retire((target) => target.uid === uid))
  return { counts, tunnels, dials, ask, retire, succeed: letSucceed, refuse, closePool: Scope.close(scope, Exit.void) }
})
