/**
 * The server side of HBONE for one identity: takes accepted sockets, does TLS and HTTP/2, and hands out CONNECT streams
 * as conduits (reference datapath §3, §4.1). One `node:http2` server that never listens; nothing outside this folder
 * knows. Peers that finish TLS and say nothing are freed by a deadline (ztunnel has none, §12.2).
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import type * as Tls from "node:tls"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import { kernelAddress, type SocketAddress } from "../../domain/Address.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { Conduit } from "../os/Conduit.ts"
import { tlsDetail } from "./TlsDetail.ts"
import { cancel, http2Conduit, keepalive, MAX_STREAMS, PING, RESET_LIMITS, sessionMemory } from "./Http2.ts"

/** The two ends of a tunnel, and who is at the other one. */
export interface TunnelEnds {
  readonly peer: SocketAddress
  readonly local: SocketAddress
  readonly principal: Spiffe
}

export interface IncomingStream {
  readonly method: string
  readonly authority: string
  readonly header: (name: string) => ReadonlyArray<string>
  /** Answers 200 and turns the stream into a conduit. Undefined when the stream has been reset meanwhile. */
  readonly accept: (headers: Readonly<Record<string, string>>) => Conduit | undefined
  /** Answers with a status and ends the stream. */
  readonly refuse: (status: number) => void
  /** Cuts the stream, whatever state it is in. */
  readonly cut: () => void
}

export interface HboneServerOptions {
  readonly settings: Pick<ProxySettings, "http2" | "handshakeTimeoutMs">
  readonly tls: Tls.TlsOptions
  /** The peer's identity if it may come in, else why not. */
  readonly verify: (socket: Tls.TLSSocket) => { readonly principal: Spiffe } | { readonly refused: string }
  readonly onStream: (stream: IncomingStream, ends: TunnelEnds) => void
  /** A peer did not get as far as a tunnel. Its address, where it is still known. */
  readonly onRefused: (peer: SocketAddress | undefined, local: SocketAddress | undefined, detail: string) => void
  readonly onOpened: () => void
  readonly onClosed: () => void
}

export interface HboneServer {
  /** Takes an accepted socket for good. */
  readonly accept: (socket: Net.Socket) => void
  readonly setTls: (tls: Tls.TlsOptions) => void
  /** GOAWAY to everyone, in two steps (§3.8). Done when all have been sent, or after a moment. */
  readonly goAway: Effect.Effect<void>
}

export const makeHboneServer = (options: HboneServerOptions): Effect.Effect<HboneServer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => new Server(options)),
      (server) => Effect.sync(() => server.cut())
    ),
    (server) => ({
      accept: (socket) => server.accept(socket),
      setTls: (tls) => server.http2.setSecureContext(tls),
      goAway: server.goAway
    })
  )

class Server {
  readonly http2: Http2.Http2SecureServer
  readonly #options: HboneServerOptions
  /** Sockets from accept to close: what a cut must end. */
  readonly #sockets = new Set<Net.Socket>()
  readonly #sessions = new Set<Http2.ServerHttp2Session>()
  #draining = false

  constructor(options: HboneServerOptions) {
    this.#options = options
    const { handshakeTimeoutMs, http2 } = options.settings
    const session: Http2.ServerSessionOptions = {
      settings: {
        initialWindowSize: http2.streamWindow,
        maxFrameSize: http2.frameSize,
        maxHeaderListSize: 65536,
        maxConcurrentStreams: MAX_STREAMS
      },
      maxSessionMemory: sessionMemory(http2),
      ...RESET_LIMITS
    }
    this.http2 = Http2.createSecureServer({ ...options.tls, ...session, handshakeTimeout: handshakeTimeoutMs })
    this.http2.on("session", (session: Http2.ServerHttp2Session) => this.#onSession(session))
    this.http2.on("tlsClientError", (error: NodeJS.ErrnoException, socket: Tls.TLSSocket) => {
      // for a certificate that did not pass the error only says "socket hang up"
      const code = String(socket.authorizationError ?? error.code ?? "")
      this.#refused(socket, tlsDetail(Object.assign(error, { code })))
      socket.destroy()
    })
    this.http2.on("sessionError", ignore)
    // a peer without ALPN is taken at its word, as ztunnel does (§3.1)
    this.http2.on("unknownProtocol", (socket: Tls.TLSSocket) => {
      if (socket.alpnProtocol === false) this.#onSession(Http2.performServerHandshake(socket, session))
      else socket.destroy()
    })
  }

  accept(socket: Net.Socket): void {
    // the peer may have gone while its certificate was waited for
    if (socket.destroyed) return
    this.#sockets.add(socket)
    socket.once("close", () => this.#sockets.delete(socket))
    socket.on("error", ignore)
    // otherwise sessions of killed peers stay for ever (house.md §5)
    socket.allowHalfOpen = false
    this.http2.emit("connection", socket)
  }

  readonly goAway = Effect.callback<void>((resume) => {
    this.#draining = true
    let open = this.#sessions.size
    const retired = () => {
      open -= 1
      if (open <= 0) done()
    }
    const done = () => {
      clearTimeout(timer)
      resume(Effect.void)
    }
    const timer = setTimeout(done, GOAWAY_MS)
    if (open === 0) return done()
    for (const session of this.#sessions) retire(session, retired)
  })

  cut(): void {
    for (const session of this.#sessions) session.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }

  #onSession(session: Http2.ServerHttp2Session): void {
    // a session of a secure server is on a TLSSocket
    const socket = session.socket as Tls.TLSSocket
    session.on("error", ignore)
    const verdict = this.#options.verify(socket)
    const { local, peer } = endsOf(socket)
    if ("refused" in verdict || peer === undefined || local === undefined) {
      this.#refused(socket, "refused" in verdict ? verdict.refused : "the peer has gone")
      session.destroy()
      return
    }
    session.on("stream", (stream: Http2.ServerHttp2Stream, headers: Http2.IncomingHttpHeaders) =>
      this.#onStream(stream, headers)
    )
    this.#sessions.add(session)
    tunnels.set(session, { peer, local, principal: verdict.principal })
    this.#options.onOpened()
    const { handshakeTimeoutMs, http2 } = this.#options.settings
    session.setLocalWindowSize(http2.connectionWindow)
    const silent = setTimeout(() => session.destroy(), handshakeTimeoutMs)
    session.once("remoteSettings", () => clearTimeout(silent))
    session.once("close", () => {
      clearTimeout(silent)
      this.#sessions.delete(session)
      this.#options.onClosed()
    })
    keepalive(session, { ...PING, onLost: () => session.destroy() })
    if (this.#draining) retire(session, ignore)
  }

  #onStream(stream: Http2.ServerHttp2Stream, headers: Http2.IncomingHttpHeaders): void {
    stream.on("error", ignore)
    const session = stream.session
    const ends = session === undefined ? undefined : tunnels.get(session)
    if (session === undefined || ends === undefined) {
      stream.destroy()
      return
    }
    this.#options.onStream(
      {
        method: headers[":method"] ?? "",
        authority: headers[":authority"] ?? "",
        header: (name) => {
          const value = headers[name]
          return value === undefined ? [] : [value].flat()
        },
        accept: (extra) => {
          if (stream.destroyed || stream.closed) return undefined
          stream.respond({ ":status": 200, ...extra }, NO_DATE)
          return http2Conduit(stream, session, () => undefined)
        },
        refuse: (status) => {
          if (stream.destroyed || stream.closed) return
          stream.respond({ ":status": status }, { ...NO_DATE, endStream: true })
          // the request's body is dropped: without a reader the stream would never close
          stream.resume()
        },
        cut: () => {
          if (!stream.destroyed && !stream.closed) cancel(stream)
        }
      },
      ends
    )
  }

  #refused(socket: Tls.TLSSocket, detail: string): void {
    const { local, peer } = endsOf(socket)
    this.#options.onRefused(peer, local, detail)
  }
}

/**
 * First GOAWAY(2³¹−1), a round trip, then the real one: a client that sends no more after the first loses nothing.
 * Streams that cross the first are not served (nghttp2 takes none after a GOAWAY); the second tells their client so, and
 * it may try elsewhere.
 */
const retire = (session: Http2.ServerHttp2Session, retired: () => void): void => {
  if (session.destroyed || session.closed) return retired()
  const close = () => {
    session.close()
    // the frame goes out before this turn of the loop is over
    setImmediate(retired)
  }
  session.goaway(0, 2 ** 31 - 1)
  if (!session.ping(close)) close()
}

const tunnels = new WeakMap<Http2.Http2Session, TunnelEnds>()

const endsOf = (socket: Net.Socket) => ({
  peer: kernelAddress(socket.remoteAddress, socket.remotePort),
  local: kernelAddress(socket.localAddress, socket.localPort)
})

/** CONNECT answers carry no date (§3.4). The option exists in Node and not in its types. */
const NO_DATE = { sendDate: false } as Http2.ServerStreamResponseOptions

const ignore = () => {}
/** How long a peer may take to answer the PING between the two. */
const GOAWAY_MS = 500
