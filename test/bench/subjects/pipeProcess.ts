/** A process: the bare relay, two sockets and two pipes. */
import * as net from "node:net"
import { serveSocks } from "./socksFront.ts"

const port = await serveSocks((socket, target, grant) => {
  const upstream = net.connect({ ...target, allowHalfOpen: true, noDelay: true })
  socket.on("error", () => upstream.destroy())
  upstream.on("error", () => socket.destroy())
  upstream.once("connect", () => {
    grant()
    socket.pipe(upstream)
    upstream.pipe(socket)
  })
})

process.on("disconnect", () => process.exit(0))
process.on("SIGINT", () => undefined)
process.send?.({ port })
