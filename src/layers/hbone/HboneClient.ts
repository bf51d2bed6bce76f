/**
 * One HBONE tunnel as a client: HTTP/2 over mutual TLS to one next hop, and CONNECT streams in it as conduits
 * (reference datapath §3). Nothing outside this folder knows that it is `node:http2`. The tunnel belongs to the scope it
 * is opened in.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import { formatSocketAddress, type SocketAddress } from "../../domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Conduit } from "../os/Conduit.ts"
import type { Dialer } from "../os/Dialer.ts"
import {
  cancel,
  http2Conduit,
  type Http2Settings,
  keepalive,
  PING,
  ENHANCE_YOUR_CALM,
  REFUSED_STREAM,
  RESET_LIMITS,
  sessionMemory
} from "./Http2.ts"
import { tlsDetail } from "./TlsDetail.ts"

/** The tunnel turned the request away untouched (GOAWAY, REFUSED_STREAM, closed meanwhile): another one may take it. */
export class TunnelGone extends Data.TaggedError("TunnelGone")<{ readonly detail: string }> {}

export interface ConnectRequest {
  readonly authority: string
  readonly headers: Readonly<Record<string, string>>
}

export interface Connected {
  readonly conduit: Conduit
  /** The response's `baggage` lines. */
  readonly baggage: ReadonlyArray<string>
}

export interface Tunnel {
  /** Streams under way. */
  readonly streams: number
  /** Streams that the peer and we allow at once; 0 once the tunnel takes no more. */
  readonly capacity: number
  readonly connect: (request: ConnectRequest) => Effect.Effect<Connected, ProxyError | TunnelGone, Scope.Scope>
  /** Calls back once when the tunnel is gone, and whenever its last stream has ended. */
  readonly watch: (events: { readonly onIdle: () => void; readonly onGone: () => void }) => void
}

export interface TunnelOptions {
  readonly nextHop: SocketAddress
  readonly tls: Tls.ConnectionOptions
  readonly http2: Http2Settings
  readonly maxStreams: number
  readonly handshakeTimeoutMs: number
  readonly dial: Dialer["Service"]["dialSocket"]
}

export const openTunnel = Effect.fnUntraced(function* (
  options: TunnelOptions
): Effect.fn.Return<Tunnel, ProxyError, Scope.Scope> {
  const address = formatSocketAddress(options.nextHop)
  const tcp = yield* options.dial(options.nextHop)
  const secure = yield* secured(tcp, options, address)
  const session = Http2.connect("https://hbone", {
    createConnection: () => secure,
    settings: {
      enablePush: false,
      initialWindowSize: options.http2.streamWindow,
      maxFrameSize: options.http2.frameSize,
      maxHeaderListSize: 16384
    },
    maxSessionMemory: sessionMemory(options.http2),
    peerMaxConcurrentStreams: options.maxStreams,
    ...RESET_LIMITS
  })
  let lost: string | undefined
  session.on("error", (error) => {
    lost ??= error.message
  })
  yield* Effect.addFinalizer(() => closeSession(session))
  session.once("connect", () => session.setLocalWindowSize(options.http2.connectionWindow))
  const silent = setTimeout(() => {
    lost ??= `no SETTINGS within ${options.handshakeTimeoutMs} ms`
    session.destroy()
  }, options.handshakeTimeoutMs)
  session.once("remoteSettings", () => clearTimeout(silent))
  session.once("close", () => clearTimeout(silent))
  keepalive(session, {
    ...PING,
    onLost: () => {
      lost ??= "no answer to a keepalive ping"
      session.destroy()
    }
  })
  return new Http2Tunnel(session, options.maxStreams, address, () => lost)
})

const secured = (tcp: Net.Socket, options: TunnelOptions, address: string) =>
  Effect.acquireRelease(
    Effect.callback<Tls.TLSSocket, ProxyError>((resume) => {
      // otherwise the tunnel of a killed peer stays, and takes requests, until a ping is lost (house.md §5)
      tcp.allowHalfOpen = false
      const socket = Tls.connect({ ...options.tls, socket: tcp })
      const fail = (detail: string) => {
        clearTimeout(timer)
        resume(Effect.fail(proxyError(Reason.TlsFailed({ address, detail }))))
        socket.destroy()
      }
      const timer = setTimeout(
        () => fail(`no TLS handshake within ${options.handshakeTimeoutMs} ms`),
        options.handshakeTimeoutMs
      )
      // stays on for the life of the socket: a late ECONNRESET must not end the process
      socket.on("error", (error) => fail(tlsDetail(error)))
      socket.once("close", () => fail("the peer closed during the handshake"))
      socket.once("secureConnect", () => {
        clearTimeout(timer)
        if (socket.alpnProtocol === "h2") resume(Effect.succeed(socket))
        else fail("the peer does not speak HTTP/2")
      })
      return Effect.sync(() => {
        clearTimeout(timer)
        socket.destroy()
      })
    }),
    (socket) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  )

/** GOAWAY and an orderly end when nothing is under way, else a cut. Bounded. */
const closeSession = (session: Http2.ClientHttp2Session) =>
  Effect.callback<void>((resume) => {
    if (session.destroyed) return resume(Effect.void)
    const cut = setTimeout(() => {
      session.destroy()
      // whether it says that it is closed or not
      resume(Effect.void)
    }, CLOSE_TIMEOUT_MS)
    session.once("close", () => {
      clearTimeout(cut)
      resume(Effect.void)
    })
    session.close()
  })

class Http2Tunnel implements Tunnel {
  readonly #session: Http2.ClientHttp2Session
  readonly #maxStreams: number
  readonly #address: string
  readonly #lost: () => string | undefined
  #streams = 0
  #onIdle: () => void = () => {}

  constructor(session: Http2.ClientHttp2Session, maxStreams: number, address: string, lost: () => string | undefined) {
    this.#session = session
    this.#maxStreams = maxStreams
    this.#address = address
    this.#lost = lost
  }

  get streams(): number {
    return this.#streams
  }

  get capacity(): number {
    const session = this.#session
    if (session.closed || session.destroyed) return 0
    return Math.min(this.#maxStreams, session.remoteSettings?.maxConcurrentStreams ?? this.#maxStreams)
  }

  watch({ onGone, onIdle }: { readonly onIdle: () => void; readonly onGone: () => void }): void {
    this.#onIdle = onIdle
    if (this.#session.destroyed) onGone()
    else this.#session.once("close", onGone)
  }

  connect({ authority, headers }: ConnectRequest): Effect.Effect<Connected, ProxyError | TunnelGone, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(this.#request(authority, headers), ({ stream }) => Effect.sync(() => release(stream)), {
        interruptible: true
      }),
      ({ baggage, stream }) => ({ conduit: http2Conduit(stream, this.#session, this.#lost), baggage })
    )
  }

  #request(authority: string, headers: ConnectRequest["headers"]) {
    return Effect.callback<
      { readonly stream: Http2.ClientHttp2Stream; readonly baggage: ReadonlyArray<string> },
      ProxyError | TunnelGone
    >((resume) => {
      let stream: Http2.ClientHttp2Stream
      try {
        stream = this.#session.request({ ":method": "CONNECT", ":authority": authority, ...headers })
      } catch (error) {
        // thrown only when the session takes no more requests
        return resume(Effect.fail(new TunnelGone({ detail: String(error) })))
      }
      this.#streams += 1
      stream.once("close", () => {
        this.#streams -= 1
        if (this.#streams === 0) this.#onIdle()
      })
      const late = setTimeout(() => {
        stream.off("error", failed)
        stream.off("close", failed)
        stream.on("error", ignore)
        const detail = `no answer to CONNECT within ${ANSWER_MS / 1000} s`
        resume(Effect.fail(proxyError(Reason.Http2Failed({ address: this.#address, detail }))))
        cancel(stream)
      }, ANSWER_MS)
      const failed = (error?: NodeJS.ErrnoException) => {
        clearTimeout(late)
        resume(
          Effect.fail(
            UNTOUCHED.has(stream.rstCode) || NEVER_SENT.has(error?.code)
              ? new TunnelGone({ detail: error?.message ?? "refused" })
              : proxyError(
                  Reason.Http2Failed({
                    address: this.#address,
                    detail: this.#lost() ?? error?.message ?? `stream closed with code ${stream.rstCode}`
                  })
                )
          )
        )
      }
      stream.on("error", failed)
      stream.once("close", failed)
      stream.once("response", (response) => {
        clearTimeout(late)
        stream.off("error", failed)
        stream.off("close", failed)
        stream.on("error", ignore)
        const status = response[":status"]
        if (status === 200) {
          const baggage = response["baggage"]
          resume(Effect.succeed({ stream, baggage: baggage === undefined ? [] : [baggage].flat() }))
        } else {
          resume(Effect.fail(proxyError(Reason.HttpStatus({ status: status ?? 0 }))))
          cancel(stream)
        }
      })
      return Effect.sync(() => {
        clearTimeout(late)
        cancel(stream)
      })
    })
  }
}

const release = (stream: Http2.ClientHttp2Stream): void => {
  if (!stream.destroyed && !stream.closed) cancel(stream)
}

/** The session takes no more requests: Node tells some of them so only later. */
const NEVER_SENT: ReadonlySet<string | undefined> = new Set(["ERR_HTTP2_GOAWAY_SESSION", "ERR_HTTP2_INVALID_SESSION"])
const ignore = () => {}
/** Codes that say "not processed": the peer's limit was reached, or its memory. */
const UNTOUCHED: ReadonlySet<number | undefined> = new Set([REFUSED_STREAM, ENHANCE_YOUR_CALM])
/** The far side waits up to 5 s for its certificate and 10 s for its dial. */
const ANSWER_MS = 20_000
/** How long streams may delay the end of their tunnel when its scope closes. */
const CLOSE_TIMEOUT_MS = 250
