/**
 * SOCKS5: an application asks for a target by protocol instead of being redirected; then as outbound (reference datapath
 * §1.7). The answer is sent when the upstream is reached, so that it tells the truth (ztunnel's says yes before it dials).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Dns from "node:dns"
import { isIpv6, parseIp, type SocketAddress } from "../domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../domain/connection/ProxyError.ts"
import { resolveHostname } from "../domain/decide/Resolve.ts"
import type { ProxySet } from "../domain/shard/Message.ts"
import type { Authority } from "../domain/wire/Authority.ts"
import {
  parseSocks5Greeting,
  parseSocks5Request,
  SOCKS5_MAX_BYTES,
  SOCKS5_REPLY,
  socks5Reply,
  type Socks5Step
} from "../domain/wire/Socks5.ts"
import type { HbonePool } from "../layers/hbone/HbonePool.ts"
import { MeshReplica } from "../layers/mesh/MeshReplica.ts"
import { AccessLog } from "../layers/observe/Logging.ts"
import { readUntil } from "../layers/os/Handshake.ts"
import type { TcpConduit } from "../layers/os/TcpConduit.ts"
import { Settings } from "../layers/runtime/ShardContext.ts"
import { denied, unknownWorkload } from "./connection.ts"
import { outbound } from "./outbound.ts"

export const socks5 = Effect.fnUntraced(function* (
  set: ProxySet,
  pool: HbonePool,
  downstream: TcpConduit,
  source: SocketAddress
) {
  const { early, target } = yield* Effect.tapError(ask(set, downstream, source), (error) =>
    Effect.map(AccessLog, (access) => {
      denied(access, "source", source, undefined, error)
      // what was answered still goes out
      downstream.finish()
    })
  )
  yield* outbound(set, pool, {
    downstream,
    source,
    target,
    early,
    onOutcome: (failed) => {
      reply(downstream, replyTo(failed))
      if (failed !== undefined) downstream.finish()
    }
  })
})

/** The handshake, up to the reply to the request. */
const ask = Effect.fnUntraced(function* (set: ProxySet, downstream: TcpConduit, source: SocketAddress) {
  const { handshakeTimeoutMs } = yield* Settings
  const request = yield* Effect.gen(function* () {
    const greeting = yield* read(downstream, parseSocks5Greeting, Buffer.alloc(0))
    downstream.write(Buffer.from(greeting.value), ignore)
    return yield* read(downstream, parseSocks5Request, greeting.rest)
  }).pipe(
    Effect.timeoutOrElse({
      duration: handshakeTimeoutMs,
      orElse: () => Effect.fail(failed(`no complete request within ${handshakeTimeoutMs} ms`))
    })
  )
  const target = yield* Effect.tapError(locate(set, source, request.value), () =>
    Effect.sync(() => reply(downstream, "hostUnreachable"))
  )
  return { target, early: request.rest }
})

const reply = (downstream: TcpConduit, code: keyof typeof SOCKS5_REPLY) =>
  downstream.write(Buffer.from(socks5Reply(SOCKS5_REPLY[code])), ignore)

const replyTo = (failed: Reason | undefined): keyof typeof SOCKS5_REPLY => {
  if (failed === undefined) return "succeeded"
  return failed._tag === "ConnectFailed" ? "connectionRefused" : "generalFailure"
}

/** Mesh names first, then the system's resolver; of the family the client itself uses, if there is one. */
const locate = Effect.fnUntraced(function* (
  set: ProxySet,
  source: SocketAddress,
  target: Authority
): Effect.fn.Return<SocketAddress, ProxyError, MeshReplica> {
  if (target._tag === "Address") return target.address
  const mesh = (yield* MeshReplica).current()
  const workload = mesh.localWorkload(set.workload)
  if (workload === undefined) return yield* unknownWorkload(set.workload)
  const family = isIpv6(source.ip) ? "IPv6" : "IPv4"
  const known = resolveHostname(mesh, workload, target.host, family)
  if (known !== undefined) return { ip: known, port: target.port }
  const found = yield* systemLookup(target.host, family)
  return {
    ip: yield* Effect.mapError(Effect.fromResult(parseIp(found)), ({ message }) => failed(message)),
    port: target.port
  }
})

const systemLookup = (host: string, family: "IPv4" | "IPv6") =>
  Effect.callback<string, ProxyError>((resume) => {
    Dns.lookup(host, { all: true, verbatim: true }, (error, addresses) => {
      const wanted = addresses?.find((each) => each.family === (family === "IPv6" ? 6 : 4)) ?? addresses?.[0]
      if (error !== null || wanted === undefined) {
        resume(Effect.fail(proxyError(Reason.UnknownHostname({ hostname: host }))))
      } else resume(Effect.succeed(wanted.address))
    })
  })

/** The next message of the handshake, and what came behind it. */
const read = <A>(
  conduit: TcpConduit,
  parse: (bytes: Uint8Array) => Socks5Step<A>,
  before: Buffer
): Effect.Effect<{ readonly value: A; readonly rest: Buffer }, ProxyError, Scope.Scope> =>
  Effect.flatMap(
    readUntil(conduit, before, SOCKS5_MAX_BYTES, (bytes) => {
      const step = parse(bytes)
      return step._tag === "NeedMore" ? undefined : { step, bytes }
    }),
    (read) => {
      if (read === undefined) return Effect.fail(failed("the client closed during the handshake"))
      const { bytes, step } = read
      if (step._tag === "Done") return Effect.succeed({ value: step.value, rest: bytes.subarray(step.consumed) })
      if (step.reply.length > 0) conduit.write(Buffer.from(step.reply), ignore)
      return Effect.fail(failed(step.detail))
    }
  )

const failed = (detail: string): ProxyError => proxyError(Reason.Socks5Failed({ detail }))
const ignore = () => {}
