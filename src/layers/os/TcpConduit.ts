/**
 * A TCP socket as a conduit, with read buffers of its own: Node reads straight into them (`onread`), and a buffer is read
 * into again as soon as the kernel, or the tunnel, has taken every byte of it. Two sockets never share one.
 */
import type * as Net from "node:net"
import { type Conduit, type ConduitEvents, ConduitState, goneBy } from "./Conduit.ts"
import { descriptorOf } from "./Descriptor.ts"
import type { LinuxCalls } from "./Native.ts"
import { giveBack, nextGrowth, sizeFor, takeBuffer } from "./ReadBuffers.ts"

export class TcpConduit implements Conduit {
  readonly socket: Net.Socket
  readonly #state = new ConduitState()
  #to: Conduit | undefined
  #tally: (bytes: number) => void = ignore
  /** The buffer that the next read fills; the socket is bound to it until then. */
  #buffer: Buffer
  #moved = 0
  #growsAt = nextGrowth(0)
  /** Buffers that the other side still reads from, oldest first. */
  readonly #lent: Array<Buffer> = []
  /** Set while closing the socket would reset the connection. */
  #abort: LinuxCalls | undefined
  #paused = false
  #gathering = false
  /** One entry per write under way: whom to tell, or undefined where the caller knew at once. */
  readonly #writes: Array<(() => void) | undefined> = []

  /** `make` gets the `onread` option and constructs the socket with it, paused and with half-open allowed. */
  constructor(make: (onread: Net.OnReadOpts) => Net.Socket) {
    this.#buffer = takeBuffer(sizeFor(0))
    this.socket = make({ buffer: () => this.#buffer, callback: (bytes) => this.#onRead(bytes) })
    this.socket.on("error", (error) => this.#state.go(goneBy(error)))
    this.socket.on("end", () => this.#state.reachEof())
    this.socket.on("close", () => this.#onClose())
  }

  /**
   * From now on the kernel resets the connection if this thread dies, so that nobody takes a part for the whole; an
   * orderly end takes that back. `inherited`: an accepted socket has it from its listener.
   */
  resetOnDeath(linux: LinuxCalls, inherited: boolean): void {
    this.#abort = linux
    const fd = inherited ? undefined : descriptorOf(this.socket)
    if (fd !== undefined) linux.setAbortOnClose(fd, true)
  }

  watch(events: ConduitEvents): void {
    this.#state.watch(events)
  }

  pump(to: Conduit, tally: (bytes: number) => void): void {
    this.#to = to
    this.#tally = tally
    this.socket.resume()
  }

  /** Stops reading, until the next `pump`: between a handshake and the relay. */
  hold(): void {
    this.#to = undefined
    this.socket.pause()
  }

  write(chunk: Buffer, taken: () => void): boolean {
    this.socket.write(chunk, this.#onWritten)
    const atOnce = this.socket.writableLength === 0
    this.#writes.push(atOnce ? undefined : taken)
    return atOnce
  }

  gather(): void {
    if (this.#gathering) return
    this.#gathering = true
    this.socket.cork()
    setImmediate(this.#send)
  }

  congested(): boolean {
    return this.socket.writableLength > (this.#gathering ? GATHER_BYTES : 0)
  }

  end(): void {
    this.#onceFlushed()
    this.socket.end()
  }

  reset(): void {
    const { socket } = this
    if (socket.destroyed) return
    // libuv refuses a reset while a shutdown is under way, and Node then never closes the descriptor
    const shuttingDown = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0
    // RST, also when bytes still wait to be sent: an orderly end would pass off a part as the whole
    if (shuttingDown) socket.once("finish", () => socket.destroyed || socket.resetAndDestroy())
    else socket.resetAndDestroy()
  }

  finish(): void {
    this.#onceFlushed()
    this.socket.destroySoon()
  }

  destroy(): void {
    // with bytes of ours that the kernel never got, it stays a reset
    if (this.socket.writableLength === 0) this.#endInOrder()
    this.socket.destroy()
  }

  /** What the sweep of paused sockets found: a socket that does not read does not notice a reset (house.md §5). */
  foundReset(): void {
    this.#state.go({ _tag: "Reset" })
    this.socket.destroy()
  }

  /** Until the kernel has every byte, dying must not look like the end of them. */
  #onceFlushed(): void {
    if (this.#abort === undefined) return
    if (this.socket.writableFinished) this.#endInOrder()
    else this.socket.once("finish", () => this.#endInOrder())
  }

  #endInOrder(): void {
    const fd = this.#abort === undefined ? undefined : descriptorOf(this.socket)
    if (fd !== undefined) this.#abort?.setAbortOnClose(fd, false)
    this.#abort = undefined
  }

  #onRead(bytes: number): boolean {
    const to = this.#to
    if (to === undefined) return false
    const buffer = this.#buffer
    const taken = to.write(bytes === buffer.length ? buffer : buffer.subarray(0, bytes), this.#onTaken)
    this.#tally(bytes)
    if (this.#to === undefined) return false
    this.#moved += bytes
    const grows = this.#moved >= this.#growsAt
    if (grows) this.#growsAt = nextGrowth(this.#moved)
    if (!taken) {
      this.#lent.push(buffer)
      this.#buffer = takeBuffer(sizeFor(this.#moved))
      this.#paused = to.congested()
      if (this.#paused) pausedConduits.add(this)
      return !this.#paused
    }
    if (grows) {
      giveBack(buffer)
      this.#buffer = takeBuffer(sizeFor(this.#moved))
    }
    return true
  }

  readonly #onTaken = (): void => {
    const buffer = this.#lent.shift()
    if (buffer !== undefined) giveBack(buffer)
    if (this.#paused && this.#to !== undefined && !this.#to.congested()) {
      this.#paused = false
      pausedConduits.delete(this)
      this.socket.resume()
    }
  }

  readonly #send = (): void => {
    this.#gathering = false
    this.socket.uncork()
  }

  readonly #onWritten = (error?: Error | null): void => {
    const taken = this.#writes.shift()
    // after an error the buffer may still be pointed into: it is left to the garbage collector
    if (!error) taken?.()
  }

  #onClose(): void {
    pausedConduits.delete(this)
    giveBack(this.#buffer)
    this.#buffer = NOTHING
    this.#to = undefined
    this.#state.go({ _tag: "Closed" })
  }
}

/** Those of this thread that wait for their other side: what the sweep looks at. */
export const pausedConduits = new Set<TcpConduit>()

/** What one system call takes at once. */
const GATHER_BYTES = 256 * 1024

const NOTHING = Buffer.alloc(0)
const ignore = () => {}
