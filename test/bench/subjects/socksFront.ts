/**
 * The SOCKS5 entry of the bare relays: the same front as weft's, so that like is compared with like. It knows what the
 * load generator sends: no authentication, CONNECT to an IPv4 address, one message per packet.
 */
import * as net from "node:net"
import type { AddressInfo } from "node:net"

/**
 * Listens on a free loopback port, which it resolves to. The socket comes paused, half-close allowed; `grant` answers
 * the client, which weft does when the target is reached.
 */
export const serveSocks = (
  handle: (socket: net.Socket, target: { host: string; port: number }, grant: () => void) => void
): Promise<number> =>
  new Promise((resolve) => {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => socket.destroy())
      socket.once("data", () => {
        socket.write(NO_AUTHENTICATION)
        socket.once("data", (request: Buffer) => {
          socket.pause()
          const target = { host: request.subarray(4, 8).join("."), port: request.readUInt16BE(8) }
          handle(socket, target, () => socket.write(GRANTED))
        })
      })
    })
    // a TCP server's address is always an AddressInfo
    server.listen(0, "127.0.0.1", 4096, () => resolve((server.address() as AddressInfo).port))
  })

const NO_AUTHENTICATION = Uint8Array.of(5, 0)
const GRANTED = Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0)
