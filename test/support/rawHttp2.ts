/**
 * HTTP/2 over TLS frame by frame, without a library in between: for what `node:http2` hides, such as which settings were
 * really sent, or each GOAWAY. Settings are acknowledged by themselves, and so are pings unless they are withheld.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Tls from "node:tls"

export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export class RawHttp2 {
  readonly socket: Tls.TLSSocket
  readonly frames: Array<Frame> = []
  readonly closed: Promise<void>
  withholdPings = false
  #rest = Buffer.alloc(0)
  readonly #waiting = new Set<() => void>()

  constructor(socket: Tls.TLSSocket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()))
    socket.on("error", () => {})
    socket.on("data", (chunk: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, chunk])
      this.#parse()
    })
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    this.send(FRAME.settings, 0, 0)
  }

  send(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head.writeUInt8(type, 3)
    head.writeUInt8(flags, 4)
    head.writeUInt32BE(stream, 5)
    this.socket.write(Buffer.concat([head, payload]))
  }

  acknowledge({ payload, type }: Frame): void {
    this.send(type, ACK, 0, payload)
  }

  /** HEADERS of a CONNECT: literals, the names by their place in HPACK's static table. */
  connect(stream: number, authority: string): void {
    const literal = (name: number, value: string) =>
      Buffer.concat([Buffer.from([name, value.length]), Buffer.from(value)])
    this.send(FRAME.headers, END_HEADERS, stream, Buffer.concat([literal(2, "CONNECT"), literal(1, authority)]))
  }

  /** The first frame, past or future, that `test` likes. */
  async frame(test: (frame: Frame) => boolean): Promise<Frame> {
    let look = () => {}
    const found = new Promise<Frame>((resolve) => {
      look = () => {
        const frame = this.frames.find(test)
        if (frame !== undefined) resolve(frame)
      }
      this.#waiting.add(look)
      look()
    })
    const closed = this.closed.then(() => {
      throw new Error(`closed first, after frames of types ${this.frames.map(({ type }) => type).join()}`)
    })
    return Promise.race([found, closed]).finally(() => this.#waiting.delete(look))
  }

  #parse(): void {
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < end) break
      const frame: Frame = {
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5),
        payload: this.#rest.subarray(9, end)
      }
      this.#rest = this.#rest.subarray(end)
      this.frames.push(frame)
      if ((frame.flags & ACK) === 0 && frame.type === FRAME.settings) this.send(FRAME.settings, ACK, 0)
      if ((frame.flags & ACK) === 0 && frame.type === FRAME.ping && !this.withholdPings) this.acknowledge(frame)
    }
    for (const look of this.#waiting) look()
  }
}

export const rawHttp2 = (
  { host, port }: { readonly host: string; readonly port: number },
  tls: Tls.ConnectionOptions
): Effect.Effect<RawHttp2, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const socket = Tls.connect({ ...tls, host, port, ALPNProtocols: ["h2"], checkServerIdentity: () => undefined })
        await once(socket, "secureConnect")
        return socket
      }),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => new RawHttp2(socket)
  )

/** `identifier=value` in the order they were sent. */
export const settingsOf = ({ payload }: Frame): ReadonlyArray<string> =>
  Array.from(
    { length: payload.length / 6 },
    (_, index) => `${payload.readUInt16BE(index * 6)}=${payload.readUInt32BE(index * 6 + 2)}`
  )

const ACK = 1
const END_HEADERS = 4
