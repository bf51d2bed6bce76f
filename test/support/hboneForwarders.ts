/**
 * What stands between two workloads, played by the test: a network's gateway, which hands the bytes of each stream on to
 * one address without looking into them, and a waypoint, which is where an application's bytes come out. Both remember
 * what they were asked.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { cancel } from "../../src/layers/hbone/Http2.ts"
import { fakeHboneServer, type FakeHboneServer, type FakeStream } from "./hbonePeers.ts"
import type { Pair, TestCa } from "./TestCa.ts"

export interface Carried {
  readonly authority: string
  /** Without the pseudo-headers, in the order they came. */
  readonly headers: ReadonlyArray<readonly [string, string]>
  /** The subject alternative names of who opened the tunnel. */
  readonly peer: string | undefined
}

export interface Forwarder extends Pick<FakeHboneServer, "host" | "port" | "cut" | "tunnels"> {
  readonly carried: ReadonlyArray<Carried>
  /** Sockets and streams that have not closed. */
  readonly open: () => number
  /** Reads no more from the streams there are, until the answer is called. */
  readonly hold: () => () => void
}

interface Where {
  readonly host: string
  readonly port?: number
}

interface Target {
  readonly host: string
  readonly port: number
}

/** A gateway to another network whose every workload is at `to`. */
export const testGateway = (where: Where, ca: TestCa, leaf: Pair, to: Target) => forwarder(where, ca, leaf, () => to)

/** A waypoint that sends everything to `to`, or back. */
export const testWaypoint = (where: Where, ca: TestCa, leaf: Pair, to?: Target) => forwarder(where, ca, leaf, () => to)

const forwarder = Effect.fnUntraced(function* (
  { host, port }: Where,
  ca: TestCa,
  leaf: Pair,
  target: (carried: Carried) => Target | undefined
): Effect.fn.Return<Forwarder, never, Scope.Scope> {
  const server = yield* fakeHboneServer(host, ca, leaf, {}, port)
  const carried: Array<Carried> = []
  const open = new Set<FakeStream["stream"] | Net.Socket>()
  const pairs: Array<readonly [FakeStream["stream"], Net.Socket]> = []
  yield* Effect.addFinalizer(() => Effect.sync(() => open.forEach((each) => each.destroy())))
  const track = <S extends FakeStream["stream"] | Net.Socket>(each: S): S => {
    open.add(each)
    each.once("close", () => open.delete(each))
    return each
  }
  const serve = ({ headers, peer, stream }: FakeStream) => {
    const authority = headers.find(([name]) => name === ":authority")?.[1] ?? ""
    const asked = { authority, headers: headers.filter(([name]) => !name.startsWith(":")), peer }
    carried.push(asked)
    track(stream)
    const to = target(asked)
    if (to === undefined) {
      stream.pipe(stream)
      return
    }
    const socket = track(Net.connect({ ...to, allowHalfOpen: true }))
    pairs.push([stream, socket])
    join(stream, socket)
  }
  const hold = () => {
    for (const [stream, socket] of pairs) stream.unpipe(socket)
    return () => pairs.forEach(([stream, socket]) => stream.pipe(socket, NO_END))
  }
  const serveAll = async (): Promise<never> => {
    while (true) serve(await server.next())
  }
  yield* Effect.forkScoped(Effect.promise(serveAll))
  return { host, port: server.port, cut: server.cut, tunnels: server.tunnels, carried, hold, open: () => open.size }
})

/** Both ways: an end is passed on as an end, anything else as a reset. */
const join = (stream: FakeStream["stream"], socket: Net.Socket) => {
  stream.pipe(socket, NO_END)
  socket.pipe(stream)
  stream.on("end", () => {
    if (!stream.aborted) socket.end()
  })
  stream.on("close", () => {
    if (stream.rstCode === 0 && stream.readableEnded) socket.resume()
    else socket.resetAndDestroy()
  })
  socket.on("error", () => {})
  socket.on("close", () => {
    if (!socket.readableEnded && !stream.closed) cancel(stream)
  })
}

/** `end()` and a reset in one turn of the loop undo each other. */
const NO_END = { end: false }
