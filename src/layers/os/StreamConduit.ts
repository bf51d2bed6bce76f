/**
 * Any Node duplex stream as a conduit: the streams of a tunnel, and sockets where `onread` cannot be had. What a reset is
 * differs, so the owner says how to send one and how to tell one.
 */
import type { Duplex } from "node:stream"
import { type Conduit, type ConduitEvents, ConduitState, type Gone } from "./Conduit.ts"

export interface StreamKind<S extends Duplex> {
  readonly reset: (stream: S) => void
  /** Asked at `end`: was it an orderly one? */
  readonly endedInOrder: (stream: S) => boolean
  /** Asked at `close` and at `error`. */
  readonly goneBy: (stream: S, error: Error | undefined) => Gone
  /** Bytes that may wait in the stream before its writer pauses. */
  readonly highWaterMark: number
}

export class StreamConduit<S extends Duplex> implements Conduit {
  readonly stream: S
  readonly #kind: StreamKind<S>
  readonly #state = new ConduitState()
  #to: Conduit | undefined

  constructor(stream: S, kind: StreamKind<S>) {
    this.stream = stream
    this.#kind = kind
    stream.on("error", (error) => this.#state.go(kind.goneBy(stream, error)))
    stream.on("end", () => {
      if (kind.endedInOrder(stream)) this.#state.reachEof()
    })
    stream.on("close", () => this.#state.go(kind.goneBy(stream, undefined)))
  }

  watch(events: ConduitEvents): void {
    this.#state.watch(events)
  }

  pump(to: Conduit, tally: (bytes: number) => void): void {
    this.#to = to
    this.stream.on("data", (chunk: Buffer) => {
      // a tunnel's bulk comes in pieces of 16 KiB: one system call for each would cost more than everything else
      if (chunk.length >= BULK_BYTES) to.gather()
      to.write(chunk, this.#onTaken)
      tally(chunk.length)
      if (to.congested()) this.stream.pause()
    })
  }

  write(chunk: Buffer, taken: () => void): boolean {
    this.stream.write(chunk, (error) => {
      if (!error) taken()
    })
    return false
  }

  gather(): void {
    // the tunnel gathers by itself
  }

  congested(): boolean {
    return this.stream.writableLength > this.#kind.highWaterMark
  }

  end(): void {
    this.stream.end()
  }

  reset(): void {
    if (!this.stream.destroyed) this.#kind.reset(this.stream)
  }

  finish(): void {
    this.stream.end(() => this.stream.destroy())
  }

  destroy(): void {
    this.stream.destroy()
  }

  readonly #onTaken = (): void => {
    if (this.stream.isPaused() && this.#to?.congested() === false) this.stream.resume()
  }
}

/** Pieces from this size on have others behind them; a short answer should leave at once. */
const BULK_BYTES = 8 * 1024
