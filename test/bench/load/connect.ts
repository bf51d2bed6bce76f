/** Client connections of the load process: plain or through SOCKS5, read into one buffer that nobody keeps. */
import * as net from "node:net"
import type { Entry } from "./order.ts"

const SCRATCH = new Uint8Array(256 * 1024)

export interface Handlers {
  /** The connection is open, and SOCKS5 has granted it. */
  readonly onOpen: (socket: net.Socket) => void
  readonly onBytes: (socket: net.Socket, bytes: number) => void
  /** Once, whichever way it ends; `error` when it was not a plain end. */
  readonly onClose: (socket: net.Socket, error: Error | undefined) => void
}

export const connect = (entry: Entry, handlers: Handlers): net.Socket => {
  const at = entry.socks ?? entry
  // 0: greeting sent, 1: request sent, 2: granted; without SOCKS5 it starts granted
  let step = entry.socks === undefined ? 2 : 0
  let error: Error | undefined
  const callback = (bytes: number) => {
    if (step === 2) handlers.onBytes(socket, bytes)
    else if (step === 0) {
      step = 1
      socket.write(socksRequest(entry))
    } else {
      step = 2
      if (SCRATCH[1] !== 0) socket.destroy(new Error(`SOCKS5 refused with code ${SCRATCH[1]}`))
      else {
        handlers.onOpen(socket)
        if (bytes > SOCKS_REPLY) handlers.onBytes(socket, bytes - SOCKS_REPLY)
      }
    }
    return true
  }
  const socket = net.connect({ host: at.host, port: at.port, noDelay: true, onread: { buffer: SCRATCH, callback } })
  socket.on("connect", () => (step === 2 ? handlers.onOpen(socket) : socket.write(SOCKS_GREETING)))
  socket.on("error", (cause) => (error = cause))
  socket.on("close", () => handlers.onClose(socket, error))
  return socket
}

/** CONNECT to an IPv4 target. */
const socksRequest = ({ host, port }: Entry): Uint8Array =>
  Uint8Array.of(5, 1, 0, 1, ...host.split(".").map(Number), port >> 8, port & 255)

const SOCKS_GREETING = Uint8Array.of(5, 1, 0)
/** Bytes of a granting answer with an IPv4 address in it. */
const SOCKS_REPLY = 10
