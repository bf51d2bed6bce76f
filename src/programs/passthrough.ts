/** Inbound plaintext: from anywhere to our workload, without a tunnel (reference datapath §5). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SocketAddress } from "../domain/Address.ts"
import { proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { guessService } from "../domain/decide/InboundTarget.ts"
import { anyAddress, isSelfCall } from "../domain/decide/SelfCall.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { makeAuthorise } from "./authorise.ts"
import { denied, makeCarry, monotonicMs, newRecord, unknownWorkload } from "./connection.ts"

export const makePassthrough = Effect.fnUntraced(function* (set: ProxySet) {
  const { network } = yield* Settings
  const access = yield* AccessLog
  const authorise = yield* makeAuthorise(set)
  const carry = yield* makeCarry
  const clock = yield* Clock.Clock
  const dialer = yield* Dialer
  const mesh = yield* MeshReplica

  return (downstream: Conduit, source: SocketAddress, target: SocketAddress) =>
    Effect.suspend(() => {
      const state = mesh.current()
      const workload = state.localWorkload(set.workload)
      if (isSelfCall(target, set.illegalPorts, anyAddress) || workload === undefined) {
        const error = workload === undefined ? unknownWorkload(set.workload) : proxyError(Reason.SelfCall())
        denied(access, "destination", source, target, error)
        return Effect.fail(error)
      }
      const record = newRecord("destination", source, target, monotonicMs(clock))
      record.sourceWorkload = state.workloadByAddress(network, source.ip)
      record.destinationWorkload = workload
      record.service = guessService(state, workload, target.port, undefined)
      return carry(
        record,
        Effect.map(dialer.dial(target), (upstream) => ({ downstream, upstream })),
        // nobody has shown a certificate: a policy that asks for a principal matches nobody here
        authorise({ source, destination: target, identity: undefined })
      )
    })
})
