/**
 * The demo's web service: answers with what it saw. It is what an application behind an application tunnel is: on loopback,
 * so that nobody but the proxy reaches it, with a PROXY header in front of every connection that says whose it is.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Http from "node:http"
import type * as Net from "node:net"
import { LOOPBACK_V4, type SocketAddress } from "../domain/Address.ts"
import { decodeProxyHeader, type ProxyHeader } from "../domain/wire/ProxyProtocol.ts"

/** How it speaks of itself. */
export interface EchoNames {
  readonly service: string
  readonly servedBy: string
}

/** Answers where it listens in the end. */
export const serveEcho = Effect.fnUntraced(function* (names: EchoNames, port: number) {
  const clients = new WeakMap<Net.Socket, ProxyHeader>()
  const host = LOOPBACK_V4
  const server = yield* NodeHttpServer.make(() => httpBehindProxyHeader(clients), { host, port }).pipe(
    Effect.mapError(
      ({ cause }) =>
        new Error(
          `the demo's echo service cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : String(cause)}; set WEFT_DEMO_ECHO_PORT to another port (0 for any free one)`
        )
    )
  )
  yield* server.serve(echo(names, clients))
  const address: SocketAddress = { ip: host, port: "port" in server.address ? server.address.port : port }
  return address
})

const echo = ({ servedBy, service }: EchoNames, clients: WeakMap<Net.Socket, ProxyHeader>) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const { source } = request
    const client = source instanceof Http.IncomingMessage ? clients.get(source.socket) : undefined
    return HttpServerResponse.jsonUnsafe({
      service,
      request: `${request.method} ${request.url}`,
      "client identity": client?.identity,
      from: client?.addresses?.source.ip,
      headers: request.headers
    }).pipe(HttpServerResponse.setHeader("x-served-by", servedBy))
  })

/** An HTTP server that gets each socket when its PROXY header has been read; one without a header is closed. */
const httpBehindProxyHeader = (clients: WeakMap<Net.Socket, ProxyHeader>): Http.Server => {
  const server = Http.createServer()
  const handOver = server.listeners("connection")
  server.removeAllListeners("connection")
  server.on("connection", (socket: Net.Socket) =>
    readProxyHeader(socket, (header) => {
      clients.set(socket, header)
      for (const listener of handOver) Reflect.apply(listener, server, [socket])
    })
  )
  return server
}

const readProxyHeader = (socket: Net.Socket, done: (header: ProxyHeader) => void): void => {
  let received = Buffer.alloc(0)
  const close = () => void socket.destroy()
  const onData = (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    const step = decodeProxyHeader(received)
    if (step._tag === "NeedMore") return
    if (step._tag === "Invalid") return close()
    socket.off("data", onData).off("error", close).off("end", close).setTimeout(0, close)
    socket.pause()
    if (step.consumed < received.length) socket.unshift(received.subarray(step.consumed))
    done(step.header)
    socket.resume()
  }
  socket.on("data", onData).on("error", close).on("end", close).setTimeout(HEADER_TIMEOUT_MS, close)
}

const HEADER_TIMEOUT_MS = 10_000
