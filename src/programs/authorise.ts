/**
 * Whether a connection to our workload is allowed: judged by the policies of now when it comes, and again whenever the
 * mesh may have changed (reference state §5, datapath §4.5, §7). Unlike ztunnel it goes by the workload of now as well: the
 * policies that it names, and whether it is still there.
 */
import * as Effect from "effect/Effect"
import { formatSocketAddress, type SocketAddress } from "../domain/Address.ts"
import { proxyError } from "../domain/connection/ProxyError.ts"
import { judge, rejection } from "../domain/decide/Rbac.ts"
import { rbacLines } from "../domain/decide/RbacLog.ts"
import type { Step } from "../domain/decide/Trace.ts"
import type { Spiffe } from "../domain/Identity.ts"
import type { Policies } from "../domain/mesh/Policy.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { PolicyLog } from "../layers/observe/Logging.ts"
import type { Authorise } from "../layers/runtime/Connections.ts"
import { unknownWorkload } from "./connection.ts"

export interface Judged {
  readonly source: SocketAddress
  /** Where its bytes go. */
  readonly destination: SocketAddress
  /** Undefined: nobody has proven who it is. */
  readonly identity: Spiffe | undefined
}

/** Gives each connection a judge that remembers by which policies it was allowed, and answers at once for those. */
export const makeAuthorise = Effect.fnUntraced(function* (set: ProxySet) {
  const log = yield* PolicyLog
  const mesh = yield* MeshReplica

  const tell = ({ destination, source }: Judged) => {
    const ends = [
      ["src.addr", { bare: formatSocketAddress(source) }],
      ["dst.addr", { bare: formatSocketAddress(destination) }]
    ] as const
    return (step: Step) => {
      for (const { message, policy } of rbacLines(step)) {
        log.write(message, policy === undefined ? ends : [["policy", policy], ...ends])
      }
    }
  }

  return (judged: Judged): Authorise => {
    const { destination, identity, source } = judged
    let allowedBy: Policies | undefined
    return () => {
      const state = mesh.current()
      const workload = state.localWorkload(set.workload)
      if (workload === undefined) return unknownWorkload(set.workload)
      const policies = state.policiesOf(workload)
      if (policies === allowedBy) return undefined
      const connection = { source: source.ip, destination, identity }
      const rejected = rejection(judge(policies, workload, connection, log.enabled ? tell(judged) : undefined))
      if (rejected !== undefined) return proxyError(rejected)
      allowedBy = policies
      return undefined
    }
  }
})
