/**
 * Accepting on one shard. The listening socket is the process's; the shard listens on a duplicate, steps back for at most
 * 10 ms while it holds more connections than its share (the kernel alone spreads long ones badly, house.md §5), and lives
 * through running out of descriptors.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { getSystemErrorName } from "node:util"
import { ipUnsafe, kernelAddress, type SocketAddress } from "../../domain/Address.ts"
import type { ListenerSpec } from "../../domain/shard/Message.ts"
import { headroom, holdsTooMany, STEP_BACK_MS } from "../../domain/shard/Spread.ts"
import { logTarget } from "../observe/Logging.ts"
import { ShardMetrics } from "../observe/Metrics.ts"
import { InHand } from "./InHand.ts"
import { type LinuxCalls, Native } from "./Native.ts"

export class ListenError extends Data.TaggedError("ListenError")<{ readonly detail: string }> {}

/** An accepted connection, paused, before anyone decided how to read it. */
export interface Accepted {
  readonly peer: SocketAddress
  readonly local: () => SocketAddress
  /** SO_ORIGINAL_DST, or the local address where nothing redirected the connection. */
  readonly originalDestination: () => SocketAddress
  /** The socket; `options` go to its constructor. To be called once, in the same tick. */
  readonly socket: (options: Net.SocketConstructorOpts) => Net.Socket
}

export class Listeners extends Context.Service<
  Listeners,
  {
    /** Accepts until the scope closes. Answers where it listens. */
    readonly listen: (
      spec: ListenerSpec,
      onAccept: (accepted: Accepted) => void
    ) => Effect.Effect<SocketAddress, ListenError, Scope.Scope>
  }
>()("weft/layers/os/Listeners") {
  static readonly layer = (shards: number) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const { linux } = yield* Native
        const inHand = yield* InHand
        const metrics = yield* ShardMetrics
        const open = new Set<Acceptor>()
        let away: NodeJS.Timeout | undefined
        let limit: number | undefined
        /** The kernel gives the lowest number that is free: a high one says that few are. */
        const isScarce = (fd: number): boolean => {
          // asked at the first connection: the main thread raises it as it starts
          limit ??= linux?.descriptorLimit() ?? Infinity
          return fd >= limit - headroom(limit)
        }
        const comeBack = () => {
          away = undefined
          for (const acceptor of open) if (!acceptor.resume()) away ??= setTimeout(comeBack, STEP_BACK_MS)
        }
        const stepBack = () => {
          if (away !== undefined) return
          for (const acceptor of open) acceptor.pause()
          away = setTimeout(comeBack, STEP_BACK_MS)
        }
        yield* Effect.addFinalizer(() => Effect.sync(() => clearTimeout(away)))
        const afterAccept = () => {
          const { own, total } = metrics.sockets()
          if (holdsTooMany(own, total, shards)) stepBack()
        }
        const run = Effect.runForkWith(yield* Effect.context())
        let warnedAt = -Infinity
        const onError = (error: Error) => {
          metrics.add("acceptErrors", 1)
          stepBack()
          if (performance.now() - warnedAt < WARN_EVERY_MS) return
          warnedAt = performance.now()
          run(
            Effect.logWarning("cannot accept for a moment; raise the limit of open descriptors if this goes on", {
              cause: error.message
            }).pipe(logTarget("proxy"))
          )
        }
        return Listeners.of({
          listen: (spec, onAccept) =>
            Effect.map(
              Effect.acquireRelease(
                Effect.callback<Acceptor, ListenError>((resume) => {
                  const acceptor = new Acceptor(spec, linux, inHand, isScarce, (accepted, fd) => {
                    onAccept(accepted)
                    if (fd !== undefined && isScarce(fd)) onError(new Scarce())
                    else afterAccept()
                  })
                  acceptor.start({
                    onListening: () => resume(Effect.succeed(acceptor)),
                    onError: (error) => {
                      if (spec.fd === undefined && !open.has(acceptor)) {
                        return resume(Effect.fail(new ListenError({ detail: error.message })))
                      }
                      // the process's socket is bound: what is missing is a descriptor, and it will be tried again
                      resume(Effect.succeed(acceptor))
                      onError(error)
                    }
                  })
                }).pipe(Effect.tap((acceptor) => Effect.sync(() => open.add(acceptor)))),
                (acceptor) =>
                  Effect.sync(() => {
                    open.delete(acceptor)
                    acceptor.close()
                  })
              ),
              (acceptor) => acceptor.address
            )
        })
      })
    )
}

class Scarce extends Error {
  override readonly message = "almost no descriptors are left"
}

/** One listener of this shard: a `net.Server` at a time, on a duplicate of the process's socket. */
class Acceptor {
  readonly #spec: ListenerSpec
  readonly #linux: LinuxCalls | undefined
  readonly #inHand: InHand["Service"]
  readonly #isScarce: (fd: number) => boolean
  readonly #onAccept: (accepted: Accepted, fd: number | undefined) => void
  #server: Net.Server | undefined
  #onError: (error: Error) => void = () => {}
  #closed = false
  address: SocketAddress

  constructor(
    spec: ListenerSpec,
    linux: LinuxCalls | undefined,
    inHand: InHand["Service"],
    isScarce: (fd: number) => boolean,
    onAccept: (accepted: Accepted, fd: number | undefined) => void
  ) {
    this.#spec = spec
    this.#linux = linux
    this.#inHand = inHand
    this.#isScarce = isScarce
    this.#onAccept = onAccept
    this.address = spec.address
  }

  start({
    onError,
    onListening
  }: {
    readonly onListening: () => void
    readonly onError: (error: Error) => void
  }): void {
    this.#onError = onError
    try {
      this.#open(onListening)
    } catch (error) {
      onError(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Lets the other shards accept. Without a shared socket there are none. */
  pause(): void {
    if (this.#spec.fd === undefined) return
    this.#server?.close()
    this.#server = undefined
  }

  /** False when it cannot be now: no descriptor is left. */
  resume(): boolean {
    if (this.#closed || this.#server !== undefined) return true
    try {
      this.#open(() => {})
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.#closed = true
    this.#server?.close()
    this.#server = undefined
  }

  #open(onListening: () => void): void {
    const server = Net.createServer()
    server.on("error", this.#onError)
    server.once("listening", () => {
      takeHandles(server, (handle) => this.#accept(handle), this.#onError)
      const bound = server.address()
      if (this.#spec.fd === undefined && bound !== null && typeof bound === "object") {
        this.address = { ip: ipUnsafe(bound.address), port: bound.port }
      }
      onListening()
    })
    const { address, fd } = this.#spec
    if (fd === undefined) server.listen({ host: address.ip, port: address.port, backlog: BACKLOG })
    else if (this.#linux === undefined) server.listen({ fd }, BACKLOG)
    else {
      const linux = this.#linux
      this.#inHand.wrap(
        linux,
        () => linux.duplicate(fd),
        (own) => {
          if (this.#isScarce(own)) throw new Scarce()
          server.listen({ fd: own }, BACKLOG)
        }
      )
    }
    this.#server = server
  }

  #accept(handle: Handle): void {
    const peer = nameOf(handle, "getpeername")
    // a peer that has gone already has no address
    if (peer === undefined) return void handle.close()
    const linux = this.#linux
    const fd = handle.fd >= 0 ? handle.fd : undefined
    const local = () => nameOf(handle, "getsockname") ?? this.address
    this.#onAccept(
      {
        peer,
        local,
        originalDestination: () =>
          (linux === undefined || fd === undefined ? undefined : linux.originalDestination(fd)) ?? local(),
        socket: (options) => {
          // a socket with `onread` would read at once, and lose what comes before anyone pumps it: that one starts paused
          const own: object = { ...options, handle, pauseOnCreate: options.onread !== undefined }
          const socket = new Net.Socket(own as Net.SocketConstructorOpts) // the types know neither of the two
          // on Linux it has this from its listener
          if (linux === undefined) socket.setNoDelay(true)
          return socket
        }
      },
      fd
    )
  }
}

/** What `net` has below a socket. Private, but unchanged for years (house.md §5). */
interface Handle {
  readonly fd: number
  readonly close: () => void
  readonly getpeername: (out: RawName) => number
  readonly getsockname: (out: RawName) => number
}
type RawName = { address?: string; port?: number }

const nameOf = (handle: Handle, which: "getpeername" | "getsockname"): SocketAddress | undefined => {
  const name: RawName = {}
  return handle[which](name) === 0 ? kernelAddress(name.address, name.port) : undefined
}

/**
 * Accepted handles come to us before `net` makes a socket of each: it would make one that reads in its own way, and that
 * the server waits for when it closes. A Node that does this differently fails here, loudly, when it starts to listen.
 */
const takeHandles = (server: Net.Server, accept: (handle: Handle) => void, onError: (error: Error) => void): void => {
  const listening: unknown = Reflect.get(server, "_handle")
  if (typeof listening !== "object" || listening === null || !("onconnection" in listening)) {
    throw new Error("this Node accepts connections in another way")
  }
  listening.onconnection = (status: number, handle: Handle | undefined) => {
    if (status === 0 && handle !== undefined) accept(handle)
    else onError(new Error(`accept: ${getSystemErrorName(status)}`))
  }
}

const BACKLOG = 4096
const WARN_EVERY_MS = 5_000
