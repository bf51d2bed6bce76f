/**
 * One HBONE tunnel as a client: HTTP/2 over mutual TLS through any byte stream, and CONNECT streams in it as conduits
 * (reference datapath §3). Nothing outside this folder knows that it is `node:http2`. The tunnel belongs to the scope it
 * is opened in.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "node:http2"
import type { Duplex } from "node:stream"
import * as Tls from "node:tls"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Conduit } from "../os/Conduit.ts"
import {
  cancel,
  destroyedByReset,
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

/** A CONNECT stream that was answered with 200; it belongs to the scope of who asked for it. */
export interface Connected {
  readonly conduit: Conduit
  /**
   * The same stream for a protocol on top of it, which may destroy it: a reset, if it has not ended in order. Bytes then
   * no longer go through `conduit`; what its `watch` tells stays true.
   */
  readonly duplex: () => Duplex
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

/** A tunnel whose opener looks after it. */
export interface OpenTunnel extends Tunnel {
  /** The subject alternative names of the peer's certificate, as Node writes them. */
  readonly peerNames: string | undefined
  /** Ends it in order, as soon as no stream is left in it. */
  readonly finish: () => void
}

export interface TunnelOptions {
  /** Who is at the far end, for messages. */
  readonly peer: string
  /** What the tunnel goes through. It may end before the tunnel does, and `lost` then tells why if that is known. */
  readonly transport: Effect.Effect<Duplex, ProxyError, Scope.Scope>
  readonly lost?: (() => string | undefined) | undefined
  readonly tls: Tls.ConnectionOptions
  readonly http2: Http2Settings
  readonly maxStreams: number
  readonly handshakeTimeoutMs: number
}

export const openTunnel = Effect.fnUntraced(function* (
  options: TunnelOptions
): Effect.fn.Return<OpenTunnel, ProxyError, Scope.Scope> {
  const transport = yield* options.transport
  const secure = yield* secured(transport, options)
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
  let silence: string | undefined
  let failure: string | undefined
  const lost = () => silence ?? options.lost?.() ?? failure
  session.on("error", (error) => {
    failure ??= error.message
  })
  yield* Effect.addFinalizer(() => closeSession(session))
  session.once("connect", () => session.setLocalWindowSize(options.http2.connectionWindow))
  const silent = setTimeout(() => {
    silence ??= `no SETTINGS within ${options.handshakeTimeoutMs} ms`
    session.destroy()
  }, options.handshakeTimeoutMs)
  session.once("remoteSettings", () => clearTimeout(silent))
  session.once("close", () => clearTimeout(silent))
  keepalive(session, {
    ...PING,
    onLost: () => {
      silence ??= "no answer to a keepalive ping"
      session.destroy()
    }
  })
  return new Http2Tunnel(session, secure, options, lost)
})

const secured = (transport: Duplex, options: TunnelOptions) =>
  Effect.acquireRelease(
    Effect.callback<Tls.TLSSocket, ProxyError>((resume) => {
      // otherwise the tunnel of a killed peer stays, and takes requests, until a ping is lost (house.md §5)
      transport.allowHalfOpen = false
      const socket = Tls.connect({ ...options.tls, socket: transport })
      const fail = (detail: string) => {
        clearTimeout(timer)
        resume(Effect.fail(proxyError(Reason.TlsFailed({ address: options.peer, detail }))))
        socket.destroy()
      }
      const timer = setTimeout(
        () => fail(`no TLS handshake within ${options.handshakeTimeoutMs} ms`),
        options.handshakeTimeoutMs
      )
      // stays on for the life of the socket: a late ECONNRESET must not end the process
      socket.on("error", (error) => fail(options.lost?.() ?? tlsDetail(error)))
      socket.once("close", () => fail(options.lost?.() ?? "the peer closed during the handshake"))
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

class Http2Tunnel implements OpenTunnel {
  readonly #session: Http2.ClientHttp2Session
  readonly #secure: Tls.TLSSocket
  readonly #maxStreams: number
  readonly #peer: string
  readonly #lost: () => string | undefined
  #streams = 0
  #onIdle: () => void = () => {}

  constructor(
    session: Http2.ClientHttp2Session,
    secure: Tls.TLSSocket,
    { maxStreams, peer }: TunnelOptions,
    lost: () => string | undefined
  ) {
    this.#session = session
    this.#secure = secure
    this.#maxStreams = maxStreams
    this.#peer = peer
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

  get peerNames(): string | undefined {
    return this.#secure.getPeerX509Certificate()?.subjectAltName
  }

  finish(): void {
    this.#session.close()
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
      ({ baggage, stream }) => ({
        conduit: http2Conduit(stream, this.#session, this.#lost),
        duplex: () => destroyedByReset(stream),
        baggage
      })
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
        resume(Effect.fail(proxyError(Reason.Http2Failed({ address: this.#peer, detail }))))
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
                    address: this.#peer,
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
