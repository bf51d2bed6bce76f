/**
 * The listening sockets of the process, made on the main thread and handed to the shards as descriptors. They belong to
 * the scope they are made in, so a shard that dies takes none with it.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { formatSocketAddress, type SocketAddress } from "../../domain/Address.ts"
import { type ListenOptions, Native, NativeError } from "./Native.ts"

export class BindError extends Data.TaggedError("BindError")<{
  readonly address: SocketAddress
  readonly code: string
}> {
  override get message() {
    const why = WHY.get(this.code) ?? this.code
    return `cannot listen on ${formatSocketAddress(this.address)}: ${why}`
  }
}

export class SocketFactory extends Context.Service<
  SocketFactory,
  {
    /** Where it listens, and the descriptor; none on a system where each shard has to bind for itself. */
    readonly listen: (
      address: SocketAddress,
      accepted: Pick<ListenOptions, "abortOnClose" | "keepalive">
    ) => Effect.Effect<{ readonly address: SocketAddress; readonly fd: number | undefined }, BindError, Scope.Scope>
  }
>()("weft/layers/os/SocketFactory") {
  static readonly layer = Layer.effect(
    this,
    Effect.map(Native, ({ linux }) =>
      SocketFactory.of({
        listen: (address, accepted) =>
          linux === undefined
            ? Effect.succeed({ address, fd: undefined })
            : Effect.map(
                Effect.acquireRelease(
                  Effect.try({
                    try: () => linux.listen({ ...accepted, address, backlog: BACKLOG }),
                    catch: (error) =>
                      new BindError({ address, code: error instanceof NativeError ? error.code : String(error) })
                  }),
                  (fd) => Effect.sync(() => linux.close(fd))
                ),
                (fd) => ({ fd, address: linux.localAddress(fd) })
              )
      })
    )
  )
}

const WHY = new Map([
  ["EADDRINUSE", "the port is taken"],
  ["EACCES", "this user may not (ports below 1024 need root)"],
  ["EADDRNOTAVAIL", "this machine does not have that address"],
  ["EAFNOSUPPORT", "this machine has no IPv6: set IPV6_ENABLED=false"]
])
const BACKLOG = 4096
