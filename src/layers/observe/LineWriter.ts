/**
 * Standard output of one thread. Each thread has a buffer and a way of its own to the descriptor, so neither a blocked
 * main thread nor a reader that stalls stops anyone: what does not fit is dropped and counted (ztunnel blocks, reference
 * ops §14.4). Lines go out whole: writes of at most 4 096 bytes are atomic on a pipe.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import { Native } from "../os/Native.ts"

export class LineWriter extends Context.Service<
  LineWriter,
  {
    /** Takes a line, newline included. Never waits, never throws. */
    readonly write: (line: string) => void
    /** Writes out what waits, for as long as the reader takes it. */
    readonly flush: () => void
  }
>()("weft/layers/observe/LineWriter") {
  /** `onDropped` is told how many lines were lost. */
  static readonly layer = (onDropped: (lines: number) => void) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { linux } = yield* Native
        const fd = yield* Effect.acquireRelease(
          Effect.sync(() => openStdout(linux?.setNonBlocking)),
          (fd) => Effect.sync(() => (fd === STDOUT ? undefined : Fs.closeSync(fd)))
        )
        const buffer = new LineBuffer((chunk) => Fs.writeSync(fd, chunk), onDropped)
        yield* Effect.addFinalizer(() => Effect.sync(() => buffer.close()))
        return LineWriter.of({ write: (line) => buffer.write(line), flush: () => buffer.flush() })
      })
    )
}

/**
 * A descriptor of our own, non-blocking without making anyone else's so. Where standard output is a socket it cannot be
 * opened again: then the one there is becomes non-blocking.
 */
const openStdout = (setNonBlocking: ((fd: number) => void) | undefined): number => {
  const { O_APPEND, O_NONBLOCK, O_WRONLY } = Fs.constants
  try {
    return Fs.openSync(`/proc/self/fd/${STDOUT}`, O_WRONLY | O_NONBLOCK | O_APPEND)
  } catch {
    setNonBlocking?.(STDOUT)
    return STDOUT
  }
}

/** Lines that wait, bounded. `send` writes a chunk and returns the bytes taken, or throws EAGAIN when there is no room. */
export class LineBuffer {
  readonly #send: (chunk: Buffer) => number
  readonly #onDropped: (lines: number) => void
  readonly #lines: Array<string> = []
  #waitingBytes = 0
  /** What is being written: whole lines, or the rest of them where a write took a part. */
  #chunk: Buffer | undefined
  #chunkLines = 0
  #closed = false
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined

  constructor(send: (chunk: Buffer) => number, onDropped: (lines: number) => void) {
    this.#send = send
    this.#onDropped = onDropped
  }

  write(line: string): void {
    // closed: the descriptor may be another's by now
    if (this.#closed || this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#onDropped(1)
      return
    }
    this.#lines.push(line)
    this.#waitingBytes += line.length
    if (this.#timer === undefined) this.#immediate ??= setImmediate(() => this.flush())
  }

  flush(): void {
    clearImmediate(this.#immediate)
    this.#immediate = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      while (true) {
        this.#chunk ??= this.#next()
        if (this.#chunk === undefined) return
        const taken = this.#send(this.#chunk)
        this.#chunk = taken < this.#chunk.length ? this.#chunk.subarray(taken) : undefined
      }
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") {
        this.#timer = setTimeout(() => this.flush(), RETRY_MS).unref()
      } else {
        // nobody will ever read it
        this.#drop()
      }
    }
  }

  #drop(): void {
    const lines = this.#lines.length + (this.#chunk === undefined ? 0 : this.#chunkLines)
    if (lines > 0) this.#onDropped(lines)
    this.#lines.length = 0
    this.#waitingBytes = 0
    this.#chunk = undefined
  }

  /** The last attempt; what the reader does not take now is lost. */
  close(): void {
    this.#closed = true
    this.flush()
    clearTimeout(this.#timer)
    this.#drop()
  }

  #next(): Buffer | undefined {
    let count = 0
    let length = 0
    while (count < this.#lines.length) {
      length += Buffer.byteLength(this.#lines[count]!)
      if (count > 0 && length > ATOMIC_BYTES) break
      count += 1
    }
    if (count === 0) return undefined
    const text = this.#lines.splice(0, count).join("")
    this.#waitingBytes -= text.length
    this.#chunkLines = count
    return Buffer.from(text)
  }
}

const STDOUT = 1
/** PIPE_BUF of Linux: a write of that much is whole or not at all. */
const ATOMIC_BYTES = 4096
/** About 10 000 access lines. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024
const RETRY_MS = 10
