import { once } from "node:events"
import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { answer, ReadinessServer } from "../../../src/layers/serve/ReadinessServer.ts"
import { closed, listenTcp } from "../../support/rawTcp.ts"

const READY = [12.4, 30.6]

describe("the answers about readiness", () => {
  it.each([
    ["GET", "/healthz/ready", READY, 200, "ready\n"],
    ["GET", "/healthz/ready", [0, 0], 500, "not ready, pending: proxy, state manager\n"],
    ["GET", "/healthz/ready", [5, 0], 500, "not ready, pending: proxy\n"],
    ["GET", "/healthz/ready", [0, 5], 500, "not ready, pending: state manager\n"],
    ["GET", "/healthz/ready?x=1", READY, 200, "ready\n"],
    ["GET", "/healthz/ready?verbose", READY, 200, "ready\nstate manager: done after 12 ms\nproxy: done after 31 ms\n"],
    [
      "GET",
      "/healthz/ready?verbose=1&x",
      [0, 30.6],
      500,
      "not ready, pending: state manager\nstate manager: pending\nproxy: done after 31 ms\n"
    ],
    ["POST", "/healthz/ready", READY, 405, ""],
    ["HEAD", "/healthz/ready", READY, 405, ""],
    ["GET", "/healthz/ready/", READY, 404, ""],
    ["POST", "/", READY, 404, ""],
    ["GET", "*", READY, 404, ""]
  ] as const)("%s %s with %j is %d %j", (method, url, done, status, body) => {
    assert.deepStrictEqual(answer(method, url, done), { status, body })
  })
})

const served = Effect.gen(function* () {
  const readiness = new Float64Array(new SharedArrayBuffer(16))
  const server = Context.get(yield* Layer.build(ReadinessServer.layer({ readiness })), ReadinessServer)
  const { host, open, port } = yield* listenTcp((socket) => server.accept(socket))
  /** Sends raw bytes, and reads all that comes back. */
  const exchange = (bytes: string) =>
    Effect.promise(async () => {
      const socket = Net.connect({ host, port })
      let text = ""
      socket.on("data", (chunk: Buffer) => (text += String(chunk)))
      socket.on("error", () => {})
      socket.write(bytes)
      await closed(socket)
      return text
    })
  return { readiness, open, exchange, connect: () => Net.connect({ host, port }) }
})
const GET = "GET /healthz/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

describe("the readiness server", () => {
  it.live("reads the shared memory at each request", () =>
    Effect.gen(function* () {
      const { exchange, readiness } = yield* served
      const before = yield* exchange(GET)
      assert.match(before, /^HTTP\/1\.1 500 /)
      assert.include(before, "not ready, pending: proxy, state manager\n")
      readiness.fill(7)
      const after = yield* exchange(GET)
      assert.match(after, /^HTTP\/1\.1 200 OK\r\n/)
      assert.match(after, /^content-type: text\/plain/im)
      assert.isTrue(after.endsWith("\r\n\r\nready\n"), after)
    })
  )

  it.live.each(["\0\xff garbage\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", `GET /${"x".repeat(100_000)} HTTP/1.1\r\n\r\n`])(
    "answers garbage with an error, and lives (%#)",
    (garbage) =>
      Effect.gen(function* () {
        const { exchange } = yield* served
        assert.match(yield* exchange(garbage), /^HTTP\/1\.1 4\d\d /)
        assert.match(yield* exchange(GET), /^HTTP\/1\.1 500 /)
      })
  )

  it.live("closes its connections with its scope", () =>
    Effect.gen(function* () {
      const socket = yield* Effect.scoped(
        Effect.gen(function* () {
          const { connect } = yield* served
          const socket = connect()
          socket.on("error", () => {})
          socket.write("GET /healthz/ready HTTP/1.1\r\nhost: x\r\n\r\n")
          yield* Effect.promise(() => once(socket, "data"))
          return socket
        })
      )
      yield* Effect.promise(() => closed(socket))
    })
  )

  it.live("frees a client that says nothing, and one that never finishes its request, within 5 s", () =>
    Effect.gen(function* () {
      const { connect } = yield* served
      const startedAt = performance.now()
      yield* Effect.promise(async () => {
        const silent = connect()
        const slow = connect()
        slow.write("GET /healthz/ready HT")
        for (const socket of [silent, slow]) socket.on("error", () => {}).resume()
        await Promise.all([closed(silent), closed(slow)])
      })
      assert.isBelow(performance.now() - startedAt, 8_000)
    })
  )
})
