/** Inbound plaintext: from anywhere to our workload, without a tunnel (reference datapath §5). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SocketAddress } from "../domain/Address.ts"
import { proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { guessService } from "../domain/decide/InboundTarget.ts"
import { isSelfCall } from "../domain/decide/SelfCall.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import type { Conduit } from "../layers/os/Conduit.ts"
import { Dialer } from "../layers/os/Dialer.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { carry, denied, newRecord, unknownWorkload } from "./connection.ts"

export const passthrough = Effect.fnUntraced(function* (
  set: ProxySet,
  downstream: Conduit,
  source: SocketAddress,
  target: SocketAddress
) {
  const { network } = yield* Settings
  const access = yield* AccessLog
  const dialer = yield* Dialer
  const mesh = (yield* MeshReplica).current()
  const workload = mesh.localWorkload(set.workload)
  if (isSelfCall(target, set.illegalPorts, { loopbackOnly: false }) || workload === undefined) {
    const error = workload === undefined ? unknownWorkload(set.workload) : proxyError(Reason.SelfCall())
    denied(access, "destination", source, target, error)
    return yield* error
  }
  const record = newRecord("destination", source, target, yield* Clock.currentTimeMillis)
  record.sourceWorkload = mesh.workloadByAddress(network, source.ip)
  record.destinationWorkload = workload
  record.service = guessService(mesh, workload, target.port, undefined)
  yield* carry(
    record,
    Effect.map(dialer.dial(target), (upstream) => ({ downstream, upstream }))
  )
})
