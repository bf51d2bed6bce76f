/**
 * The server behind every subject, a process of its own: one port echoes, one port sends for as long as it is read.
 * Cheap on purpose, so that it is not what is measured: one read buffer for all connections (nothing read is kept),
 * constant answers, no allocation per chunk.
 */
import * as net from "node:net"
import type { AddressInfo } from "node:net"

const SCRATCH = new Uint8Array(64 * 1024)
const REPLY = new Uint8Array(64 * 1024)
const CHUNK = new Uint8Array(256 * 1024)

/** Takes an accepted socket over with a read buffer of ours, which only sockets made by `new net.Socket` can have. */
const accepted = (socket: net.Socket, read: (socket: net.Socket, bytes: number) => void): net.Socket => {
  // private, and unchanged for years: the handle moves to the new socket, the old one is forgotten by its server
  const holder = socket as unknown as { _handle: unknown }
  const handle = holder._handle
  holder._handle = null
  socket.destroy()
  const options = {
    handle,
    onread: {
      buffer: SCRATCH,
      callback: (bytes: number) => {
        read(own, bytes)
        return true
      }
    }
  }
  // `handle` is what net.Server itself passes; the published type leaves it out
  const own: net.Socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
  own.setNoDelay(true)
  own.on("error", () => own.destroy())
  own.on("end", () => own.destroy())
  own.resume()
  return own
}

const echo = net.createServer({ pauseOnConnect: true }, (socket) => {
  accepted(socket, (own, bytes) => own.write(REPLY.subarray(0, bytes)))
})

const source = net.createServer({ pauseOnConnect: true }, (socket) => {
  const own = accepted(socket, () => undefined)
  // by way of the event loop: a reader that keeps up would otherwise have this process to itself
  const again = () => setImmediate(send)
  const send = () => {
    if (!own.destroyed) own.write(CHUNK, again)
  }
  // two in the air, so that the socket never waits for this process
  send()
  send()
})

const listen = (server: net.Server) =>
  new Promise<number>((resolve) => {
    // a TCP server's address is always an AddressInfo; every loopback address reaches it
    server.listen(0, "0.0.0.0", 4096, () => resolve((server.address() as AddressInfo).port))
  })

process.on("disconnect", () => process.exit(0))
process.on("SIGINT", () => undefined)
process.send?.({ echo: await listen(echo), source: await listen(source) })
