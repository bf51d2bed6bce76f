/**
 * A simulated conduit: what its peer does is a script, what happens when is decided by `Turns`. It keeps the contract of
 * layers/os/Conduit to the letter and uses its freedom: reads into one buffer that it spoils as soon as the other side
 * has taken it, takes what is written late and in parts, and looks at written bytes only when it takes them.
 */
import { type Conduit, type ConduitEvents, ConduitState } from "../../src/layers/os/Conduit.ts"

/** What the peer does next. Data is as many bytes, of the stream's pattern. */
export type Act = { readonly data: number } | { readonly wait: number } | { readonly fail: string } | "end" | "reset"

export interface Script {
  readonly acts: ReadonlyArray<Act>
  /** Bytes that the conduit takes turn by turn, again from the front; 0 is a turn of rest. Empty: all at once. */
  readonly takes: ReadonlyArray<number>
  /** Bytes that may wait to be taken before the writer should pause; default none. */
  readonly room?: number
}

/** Callbacks that happen one after the other, in an order that the seed decides. */
export class Turns {
  readonly #due: Array<() => void> = []
  #random: number

  constructor(seed: number) {
    this.#random = seed >>> 0
  }

  later(callback: () => void): void {
    this.#due.push(callback)
  }

  /** One turn; false when nothing is due. Real streams get their turn in between. */
  next(): boolean {
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0
    const [callback] = this.#due.splice(this.#random % Math.max(1, this.#due.length), 1)
    callback?.()
    return callback !== undefined
  }

  get pending(): boolean {
    return this.#due.length > 0
  }
}

/** Byte `index` of stream `stream`: no two streams look alike for long, none repeats soon. */
export const patternAt = (stream: number, index: number): number =>
  (Math.imul(index + 1, 2_654_435_761) ^ Math.imul(stream + 1, 40_503) ^ (index >>> 7)) & 0xff

export class PipeConduit implements Conduit {
  /** How the peer's reading ended. */
  receivedEnd: "end" | "reset" | undefined
  /** Bytes that the peer has sent. */
  sent = 0
  /** Whichever way: nothing is read and nothing is taken any more. */
  closed = false
  readonly #received: Array<Buffer> = []
  readonly #stream: number
  readonly #turns: Turns
  readonly #acts: Array<Act>
  readonly #takes: ReadonlyArray<number>
  readonly #room: number
  readonly #state = new ConduitState()
  readonly #buffer = Buffer.alloc(64 * 1024)
  #take = 0
  #to: Conduit | undefined
  #tally: (bytes: number) => void = () => {}
  /** The buffer is the other side's. */
  #lent = false
  readonly #writes: Array<{ readonly chunk: Buffer; from: number; readonly taken: () => void }> = []
  #ending = false
  #eofSeen = false

  constructor(stream: number, turns: Turns, { acts, room = 0, takes }: Script) {
    this.#stream = stream
    this.#turns = turns
    this.#acts = [...acts]
    this.#takes = takes
    this.#room = room
  }

  /** What the peer received. */
  get received(): Buffer {
    return Buffer.concat(this.#received)
  }

  watch(events: ConduitEvents): void {
    this.#state.watch(events)
  }

  pump(to: Conduit, tally: (bytes: number) => void): void {
    this.#to = to
    this.#tally = tally
    this.#turns.later(this.#act)
  }

  write(chunk: Buffer, taken: () => void): boolean {
    if (this.closed) return true
    if (this.#takes.length === 0) {
      this.#received.push(Buffer.from(chunk))
      return true
    }
    this.#writes.push({ chunk, from: 0, taken })
    if (this.#writes.length === 1) this.#turns.later(this.#takeSome)
    return false
  }

  gather(): void {}

  congested(): boolean {
    return this.#writes.reduce((bytes, { chunk, from }) => bytes + chunk.length - from, 0) > this.#room
  }

  end(): void {
    this.#ending = true
    this.#settle()
  }

  reset(): void {
    if (!this.closed) this.receivedEnd ??= "reset"
    this.destroy()
  }

  finish(): void {
    this.#ending = true
    this.#eofSeen = true
    this.#acts.length = 0
    this.#settle()
  }

  destroy(): void {
    if (this.closed) return
    this.closed = true
    this.#turns.later(() => this.#state.go({ _tag: "Closed" }))
  }

  readonly #act = (): void => {
    if (this.closed || this.#lent || this.#to === undefined) return
    const act = this.#acts.shift()
    if (act === undefined) return
    if (act === "end") {
      this.#eofSeen = true
      this.#state.reachEof()
      return this.#settle()
    }
    if (act === "reset") {
      this.closed = true
      return this.#state.go({ _tag: "Reset" })
    }
    if ("fail" in act) {
      this.closed = true
      return this.#state.go({ _tag: "Failed", detail: act.fail })
    }
    if ("wait" in act) {
      if (act.wait > 0) this.#acts.unshift({ wait: act.wait - 1 })
      return this.#turns.later(this.#act)
    }
    this.#send(this.#to, act.data)
  }

  #send(to: Conduit, bytes: number): void {
    const chunk = this.#buffer.subarray(0, bytes)
    for (let index = 0; index < bytes; index++) chunk[index] = patternAt(this.#stream, this.sent++)
    this.#lent = true
    let once = 0
    const taken = () => {
      once += 1
      if (once > 1) throw new Error("taken twice")
      this.#lent = false
      // whoever still looks at it sees what no stream has sent
      chunk.fill(0)
      this.#turns.later(this.#act)
    }
    const atOnce = to.write(chunk, taken)
    this.#tally(bytes)
    if (atOnce) taken()
  }

  readonly #takeSome = (): void => {
    const [write] = this.#writes
    if (this.closed || write === undefined) return
    const take = this.#takes[this.#take++ % this.#takes.length]!
    const upTo = Math.min(write.chunk.length, write.from + take)
    this.#received.push(Buffer.from(write.chunk.subarray(write.from, upTo)))
    write.from = upTo
    if (upTo === write.chunk.length) {
      this.#writes.shift()
      write.taken()
    }
    if (this.#writes.length > 0) this.#turns.later(this.#takeSome)
    this.#settle()
  }

  /** The end goes out behind what was written; when both directions have ended the conduit is gone. */
  #settle(): void {
    if (!this.#ending || this.#writes.length > 0 || this.closed) return
    this.receivedEnd ??= "end"
    if (this.#eofSeen) this.destroy()
  }
}
