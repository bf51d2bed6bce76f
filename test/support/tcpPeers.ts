/** Real TCP peers that a test holds in its hand: what they received, how they ended, and SOCKS5 to get through a proxy. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Net from "node:net"

/** How a socket closed. */
export type Closed = "in order" | "reset" | "cut"

export class Peer {
  readonly socket: Net.Socket
  /** After the peer has finished sending: all that was not taken. Fails when it closes otherwise. */
  readonly ended: Promise<Buffer>
  readonly closed: Promise<Closed>
  #chunks: Array<Buffer> = []
  #length = 0
  #look: () => void = () => {}

  constructor(socket: Net.Socket) {
    this.socket = socket
    let code: string | undefined
    let finished = false
    socket.on("error", (error: NodeJS.ErrnoException) => {
      code = error.code
    })
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#length += chunk.length
      this.#look()
    })
    this.ended = new Promise((resolve, reject) => {
      socket.once("end", () => {
        finished = true
        resolve(this.#all())
      })
      socket.once("close", () =>
        reject(new Error(`closed (${code ?? "cut"}) after ${socket.bytesRead} bytes, before the end`))
      )
    })
    // a test that does not ask for it does not mind
    this.ended.catch(() => {})
    this.closed = new Promise((resolve) =>
      socket.once("close", () =>
        resolve(code === "ECONNRESET" || code === "EPIPE" ? "reset" : finished ? "in order" : "cut")
      )
    )
  }

  /** The next bytes, as soon as there are that many. */
  async take(count: number): Promise<Buffer> {
    const there = new Promise<void>((resolve) => {
      this.#look = () => {
        if (this.#length >= count) resolve()
      }
      this.#look()
    })
    await Promise.race([there, this.closed])
    const all = this.#all()
    if (all.length < count) throw new Error(`closed (${await this.closed}) after ${all.length} of ${count} bytes`)
    this.#chunks = [all.subarray(count)]
    this.#length -= count
    return all.subarray(0, count)
  }

  #all(): Buffer {
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  async text(expected: string): Promise<string> {
    return (await this.take(Buffer.byteLength(expected))).toString()
  }
}

export interface TcpServer {
  readonly host: string
  readonly port: number
  /** Those that came and were not taken yet, oldest first. */
  readonly accept: () => Promise<Peer>
}

/** Listens; `serve` gets each socket, or the test takes it with `accept`. Closed with its connections by the scope. */
export const tcpServer = (
  host: string,
  serve?: (socket: Net.Socket) => void,
  wantedPort = 0
): Effect.Effect<TcpServer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const sockets = new Set<Net.Socket>()
        const waiting: Array<Peer> = []
        let takers: Array<(peer: Peer) => void> = []
        const server = Net.createServer({ allowHalfOpen: true }, (socket) => {
          sockets.add(socket)
          socket.once("close", () => sockets.delete(socket))
          socket.on("error", () => {})
          if (serve !== undefined) return serve(socket)
          const peer = new Peer(socket)
          const [taker, ...others] = takers
          takers = others
          if (taker === undefined) waiting.push(peer)
          else taker(peer)
        })
        server.listen(wantedPort, host)
        await once(server, "listening")
        const accept = async () => waiting.shift() ?? (await new Promise<Peer>((resolve) => takers.push(resolve)))
        return { server, sockets, accept }
      }),
      ({ server, sockets }) =>
        Effect.sync(() => {
          server.close()
          for (const socket of sockets) socket.destroy()
        })
    ),
    ({ accept, server }) => {
      const address = server.address()
      return { host, port: typeof address === "object" && address !== null ? address.port : 0, accept }
    }
  )

/** A port of `host` on which nothing listens. */
export const closedPort = (host: string): Effect.Effect<number> =>
  Effect.scoped(Effect.map(tcpServer(host), ({ port }) => port))

interface Place {
  readonly host: string
  readonly port: number
}

export const connect = ({ host, port }: Place): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const socket = Net.connect({ host, port, allowHalfOpen: true, noDelay: true })
        await once(socket, "connect")
        return socket
      }),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => new Peer(socket)
  )

/** "No authentication" is what we offer. */
export const SOCKS5_GREETING = Buffer.from([5, 1, 0])

/** CONNECT, to an IPv4 address or a name. */
export const socks5Request = ({ host, port }: Place): Buffer => {
  const name = Buffer.from(host)
  const address = Net.isIPv4(host) ? [1, ...host.split(".").map(Number)] : [3, name.length, ...name]
  return Buffer.from([5, 1, 0, ...address, port >> 8, port & 255])
}

/** Asks a SOCKS5 proxy for a target; answers with the reply's code, and the connection when that is 0. */
export const askSocks5 = Effect.fnUntraced(function* (proxy: Place, target: Place) {
  const peer = yield* connect(proxy)
  peer.socket.write(Buffer.concat([SOCKS5_GREETING, socks5Request(target)]))
  return yield* Effect.promise(async () => {
    await peer.take(2)
    const reply = (await peer.take(10))[1]!
    return { peer, reply }
  })
})

/** Through a SOCKS5 proxy that is expected to say yes. */
export const throughSocks5 = Effect.fnUntraced(function* (proxy: Place, target: Place) {
  const { peer, reply } = yield* askSocks5(proxy, target)
  return reply === 0 ? peer : yield* Effect.die(new Error(`SOCKS5 reply ${reply}`))
})
