/** Readiness, served by each shard from its first moment on: it needs no mesh to say that there is none yet. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { ListenerSpec, ProbeSet } from "../domain/shard/Message.ts"
import { Listeners } from "../layers/os/Listener.ts"
import { ReadinessServer } from "../layers/serve/ReadinessServer.ts"
import { makeTracked } from "./tracked.ts"

/** Until `accepting` closes. Answers where it listens. */
export const serveProbes = Effect.fnUntraced(function* (set: ProbeSet, accepting: Scope.Scope) {
  const listeners = yield* Listeners
  const readiness = yield* ReadinessServer
  const tracked = yield* makeTracked
  const served: Array<ListenerSpec> = []
  for (const spec of set.listeners) {
    const listening = listeners.listen(spec, (accepted) => readiness.accept(tracked(accepted.socket({}))))
    served.push({ ...spec, address: yield* Effect.provideService(listening, Scope.Scope, accepting) })
  }
  return served
})
