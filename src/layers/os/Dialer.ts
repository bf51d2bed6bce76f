/**
 * Outgoing TCP connections of one shard: the only place that dials. Total limit 10 s (reference datapath §1.4). The
 * socket belongs to the scope of the caller.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { formatSocketAddress, type Ip, type SocketAddress } from "../../domain/Address.ts"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Conduit } from "./Conduit.ts"
import { descriptorOf } from "./Descriptor.ts"
import { InHand } from "./InHand.ts"
import { type LinuxCalls, Native, NativeError } from "./Native.ts"
import { TcpConduit } from "./TcpConduit.ts"

export class Dialer extends Context.Service<
  Dialer,
  {
    /** A connected TCP socket as a conduit, paused. `from` is the address to leave from, if not the kernel's choice. */
    readonly dial: (to: SocketAddress, from?: Ip) => Effect.Effect<Conduit, ProxyError, Scope.Scope>
    /** The same as a plain socket, for TLS on top. */
    readonly dialSocket: (to: SocketAddress, from?: Ip) => Effect.Effect<Net.Socket, ProxyError, Scope.Scope>
  }
>()("weft/layers/os/Dialer") {
  static readonly layer = (settings: Pick<ProxySettings, "keepalive" | "packetMark">) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { linux } = yield* Native
        const inHand = yield* InHand
        const dial = (to: SocketAddress, from: Ip | undefined, make: Make) =>
          Effect.acquireRelease(
            connect(linux, inHand, settings, to, from, make),
            (socket) => Effect.sync(() => socket.destroy()),
            { interruptible: true }
          )
        return Dialer.of({
          dial: (to, from) =>
            Effect.suspend(() => {
              let conduit: TcpConduit | undefined
              return Effect.map(
                dial(to, from, (options) => {
                  conduit = new TcpConduit((onread) => new Net.Socket({ ...options, onread }))
                  return conduit.socket
                }),
                () => {
                  const connected = conduit! // `make` ran: the socket exists
                  if (linux !== undefined) connected.resetOnDeath(linux, false)
                  return connected
                }
              )
            }),
          dialSocket: (to, from) => dial(to, from, (options) => new Net.Socket(options))
        })
      })
    )
}

type Make = (options: Net.SocketConstructorOpts & { readonly manualStart?: boolean }) => Net.Socket

const connect = (
  linux: LinuxCalls | undefined,
  inHand: InHand["Service"],
  settings: Pick<ProxySettings, "keepalive" | "packetMark">,
  to: SocketAddress,
  from: Ip | undefined,
  make: Make
) =>
  Effect.callback<Net.Socket, ProxyError>((resume) => {
    const failed = (detail: string, code: string | undefined) => {
      clearTimeout(timer)
      resume(Effect.fail(proxyError(Reason.ConnectFailed({ address: formatSocketAddress(to), detail, code }))))
    }
    const timer = setTimeout(() => {
      failed("timed out", "ETIMEDOUT")
      socket?.destroy()
    }, DIAL_TIMEOUT_MS)
    let socket: Net.Socket | undefined
    try {
      socket = unconnected(linux, inHand, settings.packetMark, to.ip, make)
      const onError = (error: NodeJS.ErrnoException) => failed(error.message, error.code)
      socket.once("error", onError)
      socket.once("connect", () => {
        clearTimeout(timer)
        const connected = socket! // this is its own event
        connected.off("error", onError)
        connected.on("error", ignore)
        const fd = descriptorOf(connected)
        if (linux !== undefined && settings.keepalive.enabled && fd !== undefined)
          linux.setKeepalive(fd, settings.keepalive)
        resume(Effect.succeed(connected))
      })
      socket.pause()
      socket.connect({
        host: to.ip,
        port: to.port,
        ...(from === undefined || from === to.ip ? {} : { localAddress: from })
      })
      socket.setNoDelay(true)
    } catch (error) {
      failed(
        error instanceof Error ? error.message : String(error),
        error instanceof NativeError ? error.code : undefined
      )
    }
    return Effect.sync(() => {
      clearTimeout(timer)
      socket?.destroy()
    })
  })

/** With a packet mark the socket must exist before it connects; without one, Node makes it. */
const unconnected = (
  linux: LinuxCalls | undefined,
  inHand: InHand["Service"],
  mark: number | undefined,
  remote: Ip,
  make: Make
): Net.Socket => {
  if (mark === undefined || linux === undefined) return make({ allowHalfOpen: true })
  return inHand.wrap(
    linux,
    () => linux.socketFor(remote, { mark, bind: undefined }),
    (fd) => make({ fd, allowHalfOpen: true, manualStart: true })
  )
}

/** ztunnel's (reference datapath §1.4). */
const DIAL_TIMEOUT_MS = 10_000
const ignore = () => {}
