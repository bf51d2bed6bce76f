/** How the program ends: no new connections, a word to the peers, time for what is under way, and a limit to that. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { accessLineFrom } from "../support/accessLines.ts"
import { eventually } from "../support/eventually.ts"
import { tlsOf } from "../support/hbonePeers.ts"
import {
  caFiles,
  CLIENT_IDENTITY,
  type Env,
  meshAddresses,
  pairMesh,
  startClientSide,
  startPair,
  startServerSide
} from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { FRAME, rawHttp2 } from "../support/rawHttp2.ts"
import { connect, SOCKS5_GREETING, socks5Request, tcpServer, throughSocks5 } from "../support/tcpPeers.ts"

/** The client's weft with one connection that passes through it. */
const passingThrough = Effect.fnUntraced(function* (env: Env) {
  const addresses = meshAddresses()
  const files = yield* caFiles
  const weft = yield* startClientSide(addresses, pairMesh(addresses, []), 0, { ...files.env, ...env })
  const application = yield* tcpServer(loopbackAddress())
  const near = yield* throughSocks5(weft.ports.socks5, application)
  const far = yield* Effect.promise(application.accept)
  return { far, near, weft }
})

/** True once nothing listens there any more. */
const refuses = ({ host, port }: { readonly host: string; readonly port: number }) =>
  new Promise<boolean>((resolve) => {
    const socket = Net.connect(port, host)
    socket.once("connect", () => resolve(false)).once("error", () => resolve(true))
    socket.once("connect", () => socket.destroy())
  })

describe("a weft that is told to stop", () => {
  it.live("stops accepting on every port, lets an open connection finish, and ends with code 0", () =>
    Effect.gen(function* () {
      const { far, near, weft } = yield* passingThrough({ CONNECTION_TERMINATION_DEADLINE: "60s" })
      const complete = accessLineFrom(weft)
      yield* Effect.promise(async () => {
        weft.signal("SIGTERM")
        for (const [component, place] of Object.entries(weft.ports)) {
          await eventually(() => refuses(place), `${component} to be closed`)
        }
        near.socket.write("still here?")
        assert.strictEqual(await far.text("still here?"), "still here?")
        far.socket.end("yes, and done")
        assert.strictEqual(String(await near.ended), "yes, and done")
        near.socket.end()
        const started = performance.now()
        assert.strictEqual(await weft.exited, 0)
        assert.isBelow(performance.now() - started, 3_000, "it waits for connections, and for nothing else")
        assert.strictEqual((await complete()).level, "info")
        assert.isTrue(weft.lines.some((line) => line.includes("received signal SIGTERM, starting shutdown")))
        assert.isTrue(weft.lines.some((line) => line.includes("shutdown complete")))
      })
    })
  )

  it.live("brings a connection that it had accepted to its end, though it needs a first tunnel", () =>
    Effect.gen(function* () {
      const { addresses, client } = yield* startPair({ env: { CONNECTION_TERMINATION_DEADLINE: "60s" } })
      const application = yield* tcpServer(addresses.server, (socket) => socket.pipe(socket))
      const near = yield* connect(client.ports.socks5)
      yield* Effect.promise(async () => {
        near.socket.write(SOCKS5_GREETING)
        await near.take(2)
        client.signal("SIGTERM")
        await eventually(() => refuses(client.ports.socks5), "SOCKS5 to be closed")
        near.socket.write(socks5Request(application))
        assert.strictEqual((await near.take(10))[1], 0)
        near.socket.end("in time")
        assert.strictEqual(String(await near.ended), "in time")
        assert.strictEqual(await client.exited, 0)
      })
    })
  )

  it.live("says GOAWAY in two steps, with a round trip in between, serves what was open, and ends with code 0", () =>
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const leaf = yield* Effect.promise(() => ca.leaf({ uris: [CLIENT_IDENTITY] }))
      const weft = yield* startServerSide(addresses, pairMesh(addresses, []), {
        ...env,
        CONNECTION_TERMINATION_DEADLINE: "60s"
      })
      const application = yield* tcpServer(addresses.server)
      const tunnel = yield* rawHttp2(weft.ports.inbound, tlsOf(ca, leaf))
      const answered = (stream: number) =>
        tunnel.frame((frame) => frame.type === FRAME.headers && frame.stream === stream)
      const goAway = (lastStream: number) =>
        tunnel.frame(({ payload, type }) => type === FRAME.goAway && payload.readUInt32BE(0) === lastStream)
      yield* Effect.promise(async () => {
        tunnel.connect(1, `${application.host}:${application.port}`)
        await answered(1)
        const first = await application.accept()

        tunnel.withholdPings = true
        weft.signal("SIGTERM")
        const warning = await goAway(2 ** 31 - 1)
        assert.strictEqual(warning.payload.readUInt32BE(4), 0)
        // a stream that was on its way is left alone, and the last word says so: the client takes it elsewhere
        tunnel.connect(3, `${application.host}:${application.port}`)
        tunnel.send(FRAME.ping, 0, 0, Buffer.from("00000003"))
        await tunnel.frame(({ payload, type }) => type === FRAME.ping && String(payload) === "00000003")
        assert.strictEqual(tunnel.frames.filter(({ type }) => type === FRAME.goAway).length, 1)
        tunnel.acknowledge(await tunnel.frame(({ flags, type }) => type === FRAME.ping && flags === 0))
        const last = await goAway(1)
        assert.strictEqual(last.payload.readUInt32BE(4), 0)
        assert.isFalse(tunnel.frames.some(({ stream }) => stream === 3))

        tunnel.send(FRAME.data, 0, 1, Buffer.from("late"))
        assert.strictEqual(await first.text("late"), "late")
        first.socket.end("answer")
        const data = await tunnel.frame(({ payload, type }) => type === FRAME.data && payload.length > 0)
        assert.strictEqual(String(data.payload), "answer")
        tunnel.send(FRAME.data, END_STREAM, 1)
        await tunnel.closed
        assert.strictEqual(await weft.exited, 0)
      })
    })
  )

  it.live("cuts what is left at the deadline, says so in the access log, and ends with code 0", () =>
    Effect.gen(function* () {
      const { far, near, weft } = yield* passingThrough({ CONNECTION_TERMINATION_DEADLINE: "500ms" })
      const complete = accessLineFrom(weft)
      yield* Effect.promise(async () => {
        near.socket.write("to stay")
        assert.strictEqual(await far.text("to stay"), "to stay")
        weft.signal("SIGTERM")
        assert.deepStrictEqual(await Promise.all([near.closed, far.closed]), ["reset", "reset"])
        assert.strictEqual(await weft.exited, 0)
        const { fields, level } = await complete()
        assert.strictEqual(level, "error")
        assert.strictEqual(fields["error"], "connection closed due to connection drain")
      })
    })
  )

  it.live("ends with code 0 by SIGINT too, and leaves at once on a second one", () =>
    Effect.gen(function* () {
      const { weft } = yield* passingThrough({ CONNECTION_TERMINATION_DEADLINE: "10m" })
      let code: unknown
      void weft.exited.then((how) => (code = how))
      weft.signal("SIGINT")
      yield* Effect.promise(async () => {
        await weft.line((line) => line.includes("received signal SIGINT, starting shutdown"))
        assert.strictEqual(code, undefined)
        // one that comes within 300 ms is the same key press
        await eventually(() => {
          weft.signal("SIGINT")
          return code !== undefined
        }, "the end")
        assert.strictEqual(code, 0)
      })
    })
  )
})

const END_STREAM = 1
