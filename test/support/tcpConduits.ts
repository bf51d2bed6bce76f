/** A `TcpConduit` that is connected over loopback, and the plain socket at its other end. Both close with the scope. */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TcpConduit } from "../../src/layers/os/TcpConduit.ts"

export interface ConnectedConduit {
  readonly conduit: TcpConduit
  /** Paused, half-open allowed. */
  readonly peer: Net.Socket
}

export const connectedConduit: Effect.Effect<ConnectedConduit, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(
    () =>
      new Promise<ConnectedConduit>((resolve, reject) => {
        const server = Net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (peer) => {
          peer.on("error", () => {})
          server.close()
          if (connected) resolve({ conduit, peer })
          else conduit.socket.once("connect", () => resolve({ conduit, peer }))
        })
        server.once("error", reject)
        let connected = false
        const conduit = new TcpConduit((onread) => new Net.Socket({ allowHalfOpen: true, onread }))
        conduit.socket.pause()
        server.listen(0, "127.0.0.1", () => {
          // a TCP server's address is an AddressInfo
          const { port } = server.address() as Net.AddressInfo
          conduit.socket.connect({ host: "127.0.0.1", port }, () => (connected = true))
        })
      })
  ),
  ({ conduit, peer }) =>
    Effect.sync(() => {
      conduit.destroy()
      peer.destroy()
    })
)

/** `length` bytes of pattern `stream`, from byte `from` of it on. Any two patterns differ within a few bytes. */
export const patterned = (stream: number, from: number, length: number): Buffer => {
  const bytes = Buffer.allocUnsafe(length)
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, length >>> 2)
  for (let word = 0; word < words.length; word++) {
    words[word] = Math.imul((from >>> 2) + word + 1, 2_654_435_761) ^ Math.imul(stream + 1, 0x9e37_79b1)
  }
  return bytes
}
