/** Bytes that nobody understands, on every port: the connection ends, within the deadline, and nothing else happens. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { closed, connectPlain, socks5Request } from "../support/rawTcp.ts"
import { seeded } from "../support/Seeded.ts"
import { HANDSHAKE_MS, Victim } from "../support/Victim.ts"
import type { Component } from "../support/WeftProcess.ts"

const random = seeded(1)
const noise = (length: number) => Buffer.from(Array.from({ length }, () => random.whole(256)))
/** The beginning of a TLS 1.2 record with a ClientHello in it. */
const clientHello = Buffer.concat([Buffer.from("1603010200010001fc0303", "hex"), noise(506)])
const HTTP = "GET / HTTP/1.1\r\nHost: weft\r\n\r\n"
const GARBAGE: Readonly<Record<string, string | Buffer>> = {
  "random bytes": noise(4096),
  "one byte": noise(1),
  nothing: Buffer.alloc(0),
  zeros: Buffer.alloc(65_536),
  HTTP,
  "a TLS ClientHello": clientHello,
  "an HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
}
const PORTS: ReadonlyArray<Component> = ["socks5", "outbound", "inbound", "inbound plaintext", "readiness"]

/** All of it is sent at once, and the socket is closed from our side only where `end` says so. */
const send = (socket: Net.Socket, bytes: string | Buffer, end: boolean) => {
  if (bytes.length > 0) socket.write(bytes)
  if (end) socket.end()
}

layer(Victim.layer(), { excludeTestServices: true })("garbage", (it) => {
  for (const port of PORTS) {
    it.effect(`on the ${port} port, and then the end, closes the connection`, () =>
      Effect.gen(function* () {
        const { unharmed, weft } = yield* Victim
        yield* Effect.promise(async () => {
          for (const bytes of Object.values(GARBAGE)) {
            const socket = connectPlain(weft.ports[port])
            send(socket, bytes, true)
            await closed(socket)
          }
          await unharmed()
        })
      })
    )
  }

  for (const port of ["socks5", "outbound", "inbound", "inbound plaintext"] as const) {
    it.effect(`on the ${port} port, and then silence, is closed by weft`, () =>
      Effect.gen(function* () {
        const { unharmed, weft } = yield* Victim
        yield* Effect.promise(async () => {
          await Promise.all(
            Object.entries(GARBAGE).map(async ([name, bytes]) => {
              const startedAt = performance.now()
              const socket = connectPlain(weft.ports[port])
              send(socket, bytes, false)
              await closed(socket)
              assert.isBelow(performance.now() - startedAt, HANDSHAKE_MS + SLACK_MS, name)
            })
          )
          await unharmed()
        })
      })
    )
  }

  it.effect(
    "in the place of a SOCKS5 request is refused, and silence after half a handshake is cut by the deadline",
    () =>
      Effect.gen(function* () {
        const { unharmed, weft } = yield* Victim
        const handshake = Buffer.from([5, 1, 0, ...socks5Request({ host: "127.0.0.1", port: 80 })])
        yield* Effect.promise(async () => {
          await Promise.all(
            Array.from({ length: handshake.length - 1 }, async (_, length) => {
              const startedAt = performance.now()
              const socket = connectPlain(weft.ports.socks5)
              socket.write(handshake.subarray(0, length + 1))
              await closed(socket)
              const took = performance.now() - startedAt
              assert.isAbove(took, HANDSHAKE_MS - 50, `${length + 1} bytes`)
              assert.isBelow(took, HANDSHAKE_MS + SLACK_MS, `${length + 1} bytes`)
            })
          )
          const refused = connectPlain(weft.ports.socks5)
          refused.write(Buffer.concat([Buffer.of(5, 1, 0), noise(300)]))
          await closed(refused)
          await unharmed()
        })
      })
  )
})

/** The machine may be busy. */
const SLACK_MS = 2_500
