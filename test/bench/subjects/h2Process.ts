/**
 * A process: one side of the bare pair that carries TCP over `node:http2` CONNECT with mutual TLS 1.3, the least that a
 * Node program could do. Arguments: certificate, key, root; then, for the source side, the destination side's port.
 */
import { readFileSync } from "node:fs"
import * as http2 from "node:http2"
import * as net from "node:net"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import { serveSocks } from "./socksFront.ts"

const [cert = "", key = "", root = "", destinationPort] = process.argv.slice(2)

const credentials = {
  cert: readFileSync(cert),
  key: readFileSync(key),
  ca: readFileSync(root),
  minVersion: "TLSv1.3",
  ALPNProtocols: ["h2"]
} as const

const session = {
  maxSessionMemory: 1000,
  settings: { initialWindowSize: 4 * 1024 * 1024, maxFrameSize: 1024 * 1024, maxConcurrentStreams: 100_000 }
}
const CONNECTION_WINDOW = 16 * 1024 * 1024

const join = (a: Duplex, b: Duplex) => {
  a.on("error", () => b.destroy())
  b.on("error", () => a.destroy())
  a.pipe(b)
  b.pipe(a)
}

const destination = (): Promise<number> => {
  const server = http2.createSecureServer({
    ...credentials,
    ...session,
    peerMaxConcurrentStreams: 100_000,
    requestCert: true,
    rejectUnauthorized: true
  })
  server.on("session", (it) => it.setLocalWindowSize(CONNECTION_WINDOW))
  server.on("stream", (stream, headers) => {
    const [host = "", port] = String(headers[":authority"]).split(":")
    stream.pause()
    const socket = net.connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
    socket.once("connect", () => {
      if (stream.destroyed) return
      // what the event of a server hands over is a server's stream; `sendDate` is missing from the published types
      const options = { sendDate: false } as http2.ServerStreamResponseOptions
      ;(stream as http2.ServerHttp2Stream).respond({ ":status": 200 }, options)
      join(socket, stream)
    })
    socket.once("error", () => stream.destroy())
    stream.once("error", () => socket.destroy())
  })
  return new Promise((resolve) => {
    // a TCP server's address is always an AddressInfo
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })
}

const source = async (port: number): Promise<number> => {
  const client = http2.connect(`https://127.0.0.1:${port}`, {
    ...session,
    peerMaxConcurrentStreams: 100_000,
    createConnection: () =>
      tls.connect({ ...credentials, host: "127.0.0.1", port, checkServerIdentity: () => undefined }).setNoDelay(true)
  })
  await new Promise((resolve, reject) => {
    client.once("remoteSettings", resolve).once("error", reject)
  })
  client.setLocalWindowSize(CONNECTION_WINDOW)
  return serveSocks((socket, target, grant) => {
    const stream = client.request({ ":method": "CONNECT", ":authority": `${target.host}:${target.port}` })
    const refuse = () => socket.destroy()
    stream.once("close", refuse)
    stream.on("error", refuse)
    stream.once("response", () => {
      stream.off("close", refuse)
      grant()
      join(socket, stream)
    })
  })
}

process.on("disconnect", () => process.exit(0))
process.on("SIGINT", () => undefined)
process.send?.({ port: await (destinationPort === undefined ? destination() : source(Number(destinationPort))) })
