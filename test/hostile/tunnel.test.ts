/** Trusted peers that do not keep to HTTP/2, or say nothing: they lose their tunnel, and nobody else does. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { eventually } from "../support/eventually.ts"
import { closed, connectBySocks5, connectPlain, exchange } from "../support/rawTcp.ts"
import { FRAME, frame, headers, parseFrames, PREFACE } from "../support/craftedFrames.ts"
import { seeded } from "../support/Seeded.ts"
import { HANDSHAKE_MS, Victim } from "../support/Victim.ts"

const random = seeded(2)
const noise = (length: number) => Buffer.from(Array.from({ length }, () => random.whole(256)))
const settings = frame(FRAME.settings, 0, 0)
const opened = Buffer.concat([PREFACE, settings])

/** What follows the TLS handshake; weft must end the connection. */
const BROKEN: Readonly<Record<string, Buffer>> = {
  "noise instead of the preface": noise(1_000),
  "HTTP/1.1 instead of the preface": Buffer.from("GET / HTTP/1.1\r\nhost: weft\r\n\r\n"),
  "a preface with one letter wrong": Buffer.from("PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"),
  "noise behind a good preface": Buffer.concat([opened, noise(20_000)]),
  "a frame larger than was agreed": Buffer.concat([opened, frame(FRAME.headers, 4, 1, Buffer.alloc(1 << 21))]),
  "DATA on a stream that was never opened": Buffer.concat([opened, frame(FRAME.data, 0, 1, noise(10))]),
  "HEADERS that do not decompress": Buffer.concat([opened, frame(FRAME.headers, 4, 1, Buffer.alloc(64, 0xff))]),
  "a stream with an even number": Buffer.concat([
    opened,
    headers(2, [
      [":method", "CONNECT"],
      [":authority", "a:1"]
    ])
  ]),
  "SETTINGS of five bytes": Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, noise(5))]),
  "a window that overflows": Buffer.concat([opened, frame(FRAME.windowUpdate, 0, 0, Buffer.from("7fffffff", "hex"))])
}

layer(Victim.layer(), { excludeTestServices: true })("a tunnel", (it) => {
  for (const [what, bytes] of Object.entries(BROKEN)) {
    it.effect(`with ${what} is closed`, () =>
      Effect.gen(function* () {
        const { openTls, unharmed } = yield* Victim
        yield* Effect.promise(async () => {
          const socket = await openTls()
          const gone = closed(socket)
          socket.write(bytes)
          await gone
          await unharmed()
        })
      })
    )
  }

  it.effect("whose peer opens TCP, or TLS, and says nothing more is closed by the deadline", () =>
    Effect.gen(function* () {
      const { inbound, openTls, unharmed } = yield* Victim
      yield* Effect.promise(async () => {
        for (const open of [async () => connectPlain(inbound), openTls]) {
          const silent = await Promise.all(Array.from({ length: 20 }, open))
          const startedAt = performance.now()
          await Promise.all(silent.map(closed))
          assert.isBelow(performance.now() - startedAt, HANDSHAKE_MS + SLACK_MS)
        }
        await unharmed()
      })
    })
  )

  it.effect("of another peer goes on while thousands of streams are opened and reset at once", () =>
    Effect.gen(function* () {
      const { echo, openTls, unharmed, weft } = yield* Victim
      yield* Effect.promise(async () => {
        const bystander = await connectBySocks5(weft.ports.socks5, echo)
        const attacker = await openTls()
        const gone = closed(attacker)
        attacker.write(opened)
        const connect = [
          [":method", "CONNECT"],
          [":authority", `${echo.host}:${echo.port}`]
        ] as const
        const cancel = Buffer.from("00000008", "hex")
        for (let stream = 1; stream < 10_000; stream += 2) {
          attacker.write(headers(stream, connect))
          attacker.write(frame(FRAME.rstStream, 0, stream, cancel))
        }
        for (let time = 0; time < 20; time++) await exchange(bystander, `still here ${time}`)
        attacker.destroy()
        await gone
        await eventually(
          () => echo.open.size === 1,
          () => `${echo.open.size} connections at the echo server`
        )
        bystander.destroy()
        await unharmed()
      })
    })
  )

  it.effect("answers pings and goes on after streams that were refused", () =>
    Effect.gen(function* () {
      const { openTls, unharmed } = yield* Victim
      yield* Effect.promise(async () => {
        const socket = await openTls()
        let received = Buffer.alloc(0)
        socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
        socket.write(Buffer.concat([opened, frame(FRAME.settings, 1, 0)]))
        for (let stream = 1; stream < 40; stream += 2) {
          socket.write(
            headers(stream, [
              [":method", "CONNECT"],
              [":authority", "noport"]
            ])
          )
        }
        socket.write(frame(FRAME.ping, 0, 0, Buffer.alloc(8, 7)))
        await eventually(
          () => parseFrames(received).some(({ payload, type }) => type === FRAME.ping && payload[0] === 7),
          "the answer to the ping"
        )
        await eventually(
          () => parseFrames(received).filter(({ type }) => type === FRAME.headers).length === 20,
          "an answer on every stream"
        )
        socket.destroy()
        await unharmed()
      })
    })
  )
})

/** The machine may be busy. */
const SLACK_MS = 2_500
