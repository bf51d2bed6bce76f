/**
 * A storm of connections that end in every way there is: orderly, half-closed, reset or cut, by either side, before the
 * answer, in the middle of a transfer or with a reader that stalls. Random, from a seed.
 */
import type * as Net from "node:net"
import { connectBySocks5, connectPlain, socks5Request, type Target } from "./rawTcp.ts"
import type { Seeded } from "./Seeded.ts"

/** What one side does with its socket, after a while. */
const ENDINGS = ["end", "end and read on", "reset", "destroy", "stall, then reset"] as const
const SERVER_ENDINGS = [...ENDINGS, "echo"] as const
type Ending = (typeof SERVER_ENDINGS)[number]

export interface StormOptions {
  readonly proxy: Target
  readonly target: Target
  readonly connections: number
  readonly concurrency: number
  readonly random: Seeded
}

export interface StormFigures {
  /** Those that got as far as the server's answer. */
  readonly reached: number
  readonly aborted: number
  readonly milliseconds: number
}

export const storm = async (options: StormOptions): Promise<StormFigures> => {
  const { concurrency, connections } = options
  const startedAt = performance.now()
  let [started, reached] = [0, 0]
  const client = async () => {
    while (started++ < connections) if (await one(options)) reached += 1
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  return { reached, aborted: connections - reached, milliseconds: Math.round(performance.now() - startedAt) }
}

/** One life; true when the proxy had connected it. */
const one = async ({ proxy, random, target }: StormOptions): Promise<boolean> => {
  if (random.whole(10) === 0) {
    await abandoned(proxy, target, random)
    return false
  }
  const socket = await connectBySocks5(proxy, target).catch(() => undefined)
  if (socket === undefined) return false
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  const server = SERVER_ENDINGS.indexOf(random.pick(SERVER_ENDINGS))
  const bytes = random.pick([0, 1, 1_000, 100_000, 400_000])
  // what the server is to do, when (ms), and how much it is to send
  socket.write(Uint8Array.of(server, random.whole(20), bytes / 1_000))
  if (bytes > 0) socket.write(Buffer.alloc(bytes, 1))
  act(socket, random.pick(ENDINGS), random.whole(20))
  await gone
  return true
}

/** Gives up before the answer: in the greeting, in the request, or while the proxy dials. */
const abandoned = async (proxy: Target, target: Target, random: Seeded): Promise<void> => {
  const socket = connectPlain(proxy)
  const gone = new Promise((resolve) => socket.once("close", resolve))
  const handshake = Uint8Array.of(5, 1, 0, ...socks5Request(target))
  socket.write(handshake.subarray(0, 1 + random.whole(handshake.length)))
  socket.resume()
  act(socket, random.pick(["reset", "destroy"]), random.whole(4))
  await gone
}

/** The server's side: does what the first three bytes say. */
export const stormServer = (socket: Net.Socket): void => {
  // a client that gives up early says its end and nothing else; a socket at its end does not notice a reset
  const early = () => socket.end()
  socket.once("end", early)
  socket.once("data", (first: Buffer) => {
    socket.off("end", early)
    const [ending = 0, afterMs = 0, kilobytes = 0] = first
    if (kilobytes > 0) socket.write(Buffer.alloc(kilobytes * 1_000, 2))
    act(socket, SERVER_ENDINGS[ending]!, afterMs)
  })
}

const act = (socket: Net.Socket, ending: Ending, afterMs: number): void => {
  if (ending === "stall, then reset") socket.pause()
  else if (ending === "echo") socket.pipe(socket)
  else socket.resume()
  // whatever was planned, the other side's end is answered in the end, or nobody would ever finish
  if (ending !== "echo") socket.once("end", () => socket.end())
  setTimeout(() => {
    if (socket.destroyed) return
    if (ending === "end" || ending === "end and read on") socket.end()
    if (ending === "end") setTimeout(() => socket.destroy(), afterMs)
    if (ending === "destroy") socket.destroy()
    if (ending === "reset" || ending === "stall, then reset") socket.resetAndDestroy()
  }, afterMs)
}
