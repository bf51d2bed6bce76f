/**
 * SOCKS5: an application asks for a target by protocol instead of being redirected; then as outbound (reference datapath
 * §1.7). The answer is sent when the upstream is reached, so that it tells the truth (ztunnel's says yes before it dials).
 */
import * as Effect from "effect/Effect"
import { isIpv6, type SocketAddress } from "../domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { resolveHostname } from "../domain/decide/Resolve.ts"
import type { Mesh } from "../domain/mesh/Mesh.ts"
import type { Workload } from "../domain/mesh/Workload.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import type { Authority } from "../domain/wire/Authority.ts"
import {
  parseSocks5Greeting,
  parseSocks5Request,
  SOCKS5_MAX_BYTES,
  SOCKS5_REPLY,
  socks5Outcome,
  socks5Reply
} from "../domain/wire/Socks5.ts"
import type { HbonePool } from "../layers/hbone/HbonePool.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { readUntil } from "../layers/os/Handshake.ts"
import { Lookup } from "../layers/os/Lookup.ts"
import type { TcpConduit } from "../layers/os/TcpConduit.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { denied, unknownWorkload } from "./connection.ts"
import { makeOutbound } from "./outbound.ts"

export const makeSocks5 = Effect.fnUntraced(function* (set: ProxySet, pool: HbonePool) {
  const { handshakeTimeoutMs } = yield* Settings
  const access = yield* AccessLog
  const lookup = yield* Lookup
  const mesh = yield* MeshReplica
  const outbound = yield* makeOutbound(set, pool)
  const limits = { bytes: SOCKS5_MAX_BYTES * 2, timeMs: handshakeTimeoutMs }

  const ask = (downstream: TcpConduit, source: SocketAddress) =>
    readUntil(downstream, limits, handshake(downstream)).pipe(
      Effect.mapError(({ detail }) => failed(detail)),
      Effect.flatMap(({ early, step }) => {
        if (step._tag === "Refused") {
          if (step.reply.length > 0) downstream.write(Buffer.from(step.reply), ignore)
          return Effect.fail(failed(step.detail))
        }
        const workload = mesh.current().localWorkload(set.workload)
        const located =
          workload === undefined
            ? Effect.fail(unknownWorkload(set.workload))
            : locate(mesh.current(), lookup, workload, source, step.value)
        return Effect.mapBoth(located, {
          onSuccess: (target) => ({ target, early }),
          onFailure: (error) => {
            reply(downstream, socks5Outcome(error.reason))
            return error
          }
        })
      }),
      Effect.tapError((error) =>
        Effect.sync(() => {
          denied(access, "source", source, undefined, error)
          // what was answered still goes out
          downstream.finish()
        })
      )
    )

  return (downstream: TcpConduit, source: SocketAddress) =>
    Effect.flatMap(ask(downstream, source), ({ early, target }) =>
      outbound({
        downstream,
        source,
        target,
        early,
        onOutcome: (reason) => {
          reply(downstream, socks5Outcome(reason))
          if (reason !== undefined) downstream.finish()
        }
      })
    )
})

/** Greeting, our answer to it, request: from all bytes so far to what was asked, or why it is refused. */
const handshake = (downstream: TcpConduit) => {
  let greeted = 0
  return (bytes: Buffer) => {
    if (greeted === 0) {
      const greeting = parseSocks5Greeting(bytes)
      if (greeting._tag === "NeedMore") return undefined
      if (greeting._tag === "Refused") return { step: greeting, early: undefined }
      greeted = greeting.consumed
      downstream.write(Buffer.from(greeting.value), ignore)
    }
    const step = parseSocks5Request(bytes.subarray(greeted))
    if (step._tag === "NeedMore") return undefined
    return { step, early: step._tag === "Done" ? bytes.subarray(greeted + step.consumed) : undefined }
  }
}

const reply = (downstream: TcpConduit, code: keyof typeof SOCKS5_REPLY) =>
  downstream.write(Buffer.from(socks5Reply(SOCKS5_REPLY[code])), ignore)

/** Mesh names first, then the system's resolver; of the family the client itself uses, if there is one. */
const locate = (
  mesh: Mesh,
  lookup: Lookup,
  workload: Workload,
  source: SocketAddress,
  target: Authority
): Effect.Effect<SocketAddress, ProxyError> => {
  if (target._tag === "Address") return Effect.succeed(target.address)
  const { host, port } = target
  const family = isIpv6(source.ip) ? "IPv6" : "IPv4"
  const known = resolveHostname(mesh, workload, host, family)
  if (known !== undefined) return Effect.succeed({ ip: known, port })
  return Effect.flatMap(lookup.addresses(host), (addresses) => {
    const ip = addresses.find((each) => isIpv6(each) === isIpv6(source.ip)) ?? addresses[0]
    return ip === undefined
      ? Effect.fail(proxyError(Reason.UnknownHostname({ hostname: host })))
      : Effect.succeed({ ip, port })
  })
}

const failed = (detail: string): ProxyError => proxyError(Reason.Socks5Failed({ detail }))
const ignore = () => {}
