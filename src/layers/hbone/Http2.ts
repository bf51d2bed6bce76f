/**
 * What client and server of HBONE share on `node:http2`: settings (reference datapath §3.6), streams as conduits, the
 * true RST_STREAM(CANCEL), and keepalive pings (§3.7).
 */
import type * as Http2 from "node:http2"
import type { Duplex } from "node:stream"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import { StreamConduit, type StreamKind } from "../os/StreamConduit.ts"

export type Http2Settings = ProxySettings["http2"]

/**
 * The session must be able to hold what its windows allow the peer to send, as much again of its own, and what every
 * stream may have queued when its peer stalls. Node counts in millions of bytes.
 */
export const sessionMemory = ({ connectionWindow }: Http2Settings): number =>
  Math.ceil((2 * connectionWindow + MAX_STREAMS * (HIGH_WATER_MARK + LARGEST_READ)) / 1e6) + 16

/**
 * Streams end by RST_STREAM in ordinary life, so node:http2's limiter, which ends a tunnel after about a thousand of
 * them, is set to what only an attack reaches.
 */
export const RESET_LIMITS = {
  streamResetBurst: 10_000,
  streamResetRate: 1_000,
  // a second limiter that counts the same, with a default of 100
  maxSessionRejectedStreams: 1_000_000
}

/** Names a stream of a tunnel as a conduit. `lost` tells why the tunnel itself ended, if it did. */
export const http2Conduit = <S extends Http2.Http2Stream>(
  stream: S,
  session: Http2.Http2Session,
  lost: () => string | undefined
): StreamConduit<S> => new StreamConduit<S>(stream, kindOf(session, lost))

const kindOf = <S extends Http2.Http2Stream>(
  session: Http2.Http2Session,
  lost: () => string | undefined
): StreamKind<S> => ({
  reset: cancel,
  // a peer that said its end and then wants no more of ours resets with NO_ERROR (§3.8); Node calls that aborted, too
  endedInOrder: (stream) => stream.rstCode === NO_ERROR && !session.destroyed,
  goneBy: (stream, error) => {
    // Node ends the streams of a lost session as if in order, but for the code
    if (session.destroyed && !(stream.readableEnded && stream.writableFinished && stream.rstCode === NO_ERROR)) {
      return { _tag: "Failed", detail: `the tunnel closed: ${lost() ?? error?.message ?? "connection lost"}` }
    }
    return stream.rstCode === NO_ERROR && error === undefined ? { _tag: "Closed" } : { _tag: "Reset" }
  },
  highWaterMark: HIGH_WATER_MARK
})

/**
 * RST_STREAM with CANCEL. The public API cannot: `close(code)` sends END_STREAM first and `destroy(error)` sends
 * INTERNAL_ERROR (house.md §5). The private handle can; without it INTERNAL_ERROR has to do. Node destroys the stream when
 * the frame has gone out; before that it would replace its code, so only a tunnel that is stuck is not waited for.
 */
export const cancel = (stream: Http2.Http2Stream): void => {
  handleSymbol ??= Object.getOwnPropertySymbols(stream).find((symbol) => symbol.description === "kHandle")
  const handle: unknown = handleSymbol === undefined ? undefined : Reflect.get(stream, handleSymbol)
  if (canReset(handle)) {
    handle.rstStream(CANCEL)
    const stuck = setTimeout(() => stream.destroy(), CANCEL_MS).unref()
    stream.once("close", () => clearTimeout(stuck))
  } else {
    stream.destroy(new Error("cancelled"))
  }
}

/** Node's `destroy` says NO_ERROR: to the peer, an end in order. Node calls it as well, for what has closed already. */
export const destroyedByReset = (stream: Http2.Http2Stream): Duplex => {
  const destroy = stream.destroy.bind(stream)
  let cancelled = false
  stream.destroy = (error) => {
    if (cancelled || stream.closed || stream.destroyed || stream.session?.destroyed !== false) return destroy(error)
    cancelled = true
    cancel(stream)
    return stream
  }
  return stream
}

let handleSymbol: symbol | undefined

const canReset = (handle: unknown): handle is { readonly rstStream: (code: number) => void } =>
  typeof handle === "object" && handle !== null && typeof Reflect.get(handle, "rstStream") === "function"

export interface PingOptions {
  readonly intervalMs: number
  readonly timeoutMs: number
  /** No PONG in time: the peer is dead. */
  readonly onLost: () => void
}

/**
 * A PING `intervalMs` after the session is up, then after each PONG. Ends with the session, or when the answer stops it.
 * A PING that Node refuses to send ends the pinging: the session is closing.
 */
export const keepalive = (
  session: Http2.Http2Session,
  { intervalMs, onLost, timeoutMs }: PingOptions
): (() => void) => {
  let timer: NodeJS.Timeout
  const stop = () => clearTimeout(timer)
  const ping = () => {
    if (session.destroyed) return
    timer = setTimeout(onLost, timeoutMs)
    session.ping((error) => {
      clearTimeout(timer)
      if (error === null && !session.destroyed) timer = setTimeout(ping, intervalMs)
    })
  }
  timer = setTimeout(ping, intervalMs)
  session.once("close", stop)
  return stop
}

/** ztunnel's (reference datapath §3.7). */
export const PING = { intervalMs: 10_000, timeoutMs: 20_000 }

/** What we let a peer open at once (§3.6). */
export const MAX_STREAMS = 200
const HIGH_WATER_MARK = 256 * 1024
const LARGEST_READ = 256 * 1024
/** How long a RST_STREAM may wait behind other writes of its tunnel. */
const CANCEL_MS = 1_000
const NO_ERROR = 0
const CANCEL = 8
export const REFUSED_STREAM = 7
export const ENHANCE_YOUR_CALM = 11
