/**
 * The load generator, a process of its own: takes one order at a time over the message channel, says `Measuring` when
 * its warm-up is over, then answers with the counts.
 */
import type * as net from "node:net"
import { connect } from "./connect.ts"
import { Latencies } from "./Latencies.ts"
import type { Answer, Order } from "./order.ts"

type OrderOf<Tag extends Order["_tag"]> = Extract<Order, { readonly _tag: Tag }>

const answer = (message: Answer) => process.send?.(message)

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

const stream = async ({ entry, measureMs, warmUpMs }: OrderOf<"Stream">): Promise<Answer> => {
  let bytes = 0
  let failed: Error | undefined
  const socket = connect(entry, {
    onOpen: () => undefined,
    onBytes: (_, count) => (bytes += count),
    onClose: (_, error) => (failed = error ?? new Error("the stream ended"))
  })
  await after(warmUpMs)
  answer({ _tag: "Measuring" })
  const [startBytes, start] = [bytes, performance.now()]
  await after(measureMs)
  const result: Answer = { _tag: "Streamed", bytes: bytes - startBytes, elapsedMs: performance.now() - start }
  const broken = failed
  socket.destroy()
  return broken === undefined ? result : { _tag: "Failed", detail: broken.message }
}

const requests = async ({ connections, entry, measureMs, warmUpMs }: OrderOf<"Requests">): Promise<Answer> => {
  const latencies = new Latencies()
  let [failed, finished] = [0, false]
  const sockets = Array.from({ length: connections }, () => {
    let [sentAt, missing] = [0, 0]
    const ask = (socket: net.Socket) => {
      missing = REQUEST.length
      sentAt = performance.now()
      socket.write(REQUEST)
    }
    return connect(entry, {
      onOpen: ask,
      onBytes: (socket, count) => {
        missing -= count
        if (missing > 0) return
        latencies.add(performance.now() - sentAt)
        if (!finished) ask(socket)
      },
      onClose: () => {
        if (!finished) failed++
      }
    })
  })
  await after(warmUpMs)
  latencies.clear()
  answer({ _tag: "Measuring" })
  const start = performance.now()
  await after(measureMs)
  const [elapsedMs, count] = [performance.now() - start, latencies.count]
  finished = true
  for (const socket of sockets) socket.destroy()
  const [p50Us, p99Us] = [latencies.percentileUs(0.5), latencies.percentileUs(0.99)]
  return { _tag: "Answered", requests: count, elapsedMs, p50Us, p99Us, failed }
}

const connections = async (order: OrderOf<"Connect">): Promise<Answer> => {
  let [done, failed] = [0, 0]
  const finished = new AbortController()
  const loops = Array.from({ length: order.concurrency }, async () => {
    while (!finished.signal.aborted) {
      if (await ping(order.entry)) done++
      else if (!finished.signal.aborted) {
        failed++
        // what refuses everything must not turn this into a busy loop
        await after(1)
      }
    }
  })
  await after(order.warmUpMs)
  done = 0
  answer({ _tag: "Measuring" })
  const start = performance.now()
  await after(order.measureMs)
  const result: Answer = { _tag: "Connected", connections: done, elapsedMs: performance.now() - start, failed }
  finished.abort()
  await Promise.all(loops)
  return result
}

/** Connect, one byte there and back, close. False when it failed. */
const ping = (entry: OrderOf<"Connect">["entry"]) =>
  new Promise<boolean>((resolve) => {
    let answered = false
    connect(entry, {
      onOpen: (socket) => socket.write(ONE_BYTE),
      onBytes: (socket) => {
        answered = true
        socket.end()
      },
      onClose: (_, error) => resolve(answered && error === undefined)
    })
  })

let held: Array<net.Socket> = []

const hold = async ({ count, entry }: OrderOf<"Hold">): Promise<Answer> => {
  let lost: Error | undefined
  const open = () =>
    new Promise<net.Socket>((resolve, reject) => {
      connect(entry, {
        onOpen: (socket) => socket.write(ONE_BYTE),
        onBytes: resolve,
        onClose: (_, error) => reject((lost = error ?? new Error("a held connection ended")))
      })
    })
  const opener = async () => {
    while (held.length + opening < count) {
      opening++
      const socket = await open()
      opening--
      held.push(socket)
    }
  }
  let opening = 0
  await Promise.all(Array.from({ length: HOLD_CONCURRENCY }, opener))
  return lost === undefined ? { _tag: "Held" } : { _tag: "Failed", detail: lost.message }
}

const release = async (): Promise<Answer> => {
  const gone = held.map((socket) => new Promise((resolve) => socket.once("close", resolve)))
  for (const socket of held) socket.destroy()
  held = []
  await Promise.all(gone)
  return { _tag: "Released" }
}

const perform = (order: Order): Promise<Answer> => {
  switch (order._tag) {
    case "Stream":
      return stream(order)
    case "Requests":
      return requests(order)
    case "Connect":
      return connections(order)
    case "Hold":
      return hold(order)
    case "Release":
      return release()
  }
}

const REQUEST = new Uint8Array(64)
const ONE_BYTE = new Uint8Array(1)
const HOLD_CONCURRENCY = 32

process.on("disconnect", () => process.exit(0))
process.on("SIGINT", () => undefined)
process.on("message", (message) => {
  // the only sender is the bench, which sends orders
  perform(message as Order)
    .catch((cause: unknown): Answer => ({ _tag: "Failed", detail: String(cause) }))
    .then(answer)
})
process.send?.({ _tag: "Ready" })
