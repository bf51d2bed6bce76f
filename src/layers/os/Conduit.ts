/**
 * A conduit is a full-duplex byte stream with half-close: a TCP socket, a stream of an HBONE tunnel. The relay knows
 * nothing else. Everything here is plain callbacks: no fiber ever sees a byte (house rule 5).
 *
 * The buffer given to `write` belongs to the conduit until it is taken. `write` answers true when that was at once, and
 * calls `taken` later when not; never both.
 */

/** How a conduit came to its end, told once. */
export type Gone =
  /** Both directions ended in order, or we closed it ourselves. */
  | { readonly _tag: "Closed" }
  /** The peer gave up abruptly: a TCP reset, RST_STREAM. */
  | { readonly _tag: "Reset" }
  | { readonly _tag: "Failed"; readonly detail: string }

export interface ConduitEvents {
  /** The peer has finished sending. */
  readonly eof: () => void
  readonly gone: (how: Gone) => void
}

export interface Conduit {
  /** Tells what happens from now on, and what has happened already. One watcher at a time: a later one replaces it. */
  readonly watch: (events: ConduitEvents) => void
  /** Reads, until the end, into `to`, telling `tally` how many bytes it was given. */
  readonly pump: (to: Conduit, tally: (bytes: number) => void) => void
  readonly write: (chunk: Buffer, taken: () => void) => boolean
  /** More is about to be written in this turn of the loop: send it together. A hint. */
  readonly gather: () => void
  /** More would only wait in memory: the writer should pause until bytes are taken. */
  readonly congested: () => boolean
  /** Half-close: what was written still goes out, then the peer sees the end. */
  readonly end: () => void
  /** Cuts both directions so that the peer can tell it from an orderly end. */
  readonly reset: () => void
  /** Lets what was written go out, then closes both directions. */
  readonly finish: () => void
  /** Closes without ceremony. */
  readonly destroy: () => void
}

/** Remembers what happened before anyone watched. */
export class ConduitState {
  #events: ConduitEvents | undefined
  #eof = false
  #gone: Gone | undefined

  get gone(): Gone | undefined {
    return this.#gone
  }

  watch(events: ConduitEvents): void {
    this.#events = events
    if (this.#eof) events.eof()
    if (this.#gone !== undefined) events.gone(this.#gone)
  }

  reachEof(): void {
    if (this.#eof || this.#gone !== undefined) return
    this.#eof = true
    this.#events?.eof()
  }

  go(how: Gone): void {
    if (this.#gone !== undefined) return
    this.#gone = how
    this.#events?.gone(how)
  }
}

/** Errors that mean "the other side went away", which ztunnel counts as a normal end (reference datapath §6). */
const RESETS: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "EPIPE", "ENOTCONN", "ECONNABORTED"])

export const goneBy = (error: NodeJS.ErrnoException): Gone =>
  RESETS.has(error.code) ? { _tag: "Reset" } : { _tag: "Failed", detail: error.message }
