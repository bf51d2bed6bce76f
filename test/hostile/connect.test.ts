/** CONNECT requests that are wrong, from a peer that weft trusts: refused with a status, or reset; the tunnel goes on. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Http2 from "node:http2"
import { eventually } from "../support/eventually.ts"
import { connectPlain, closed, type Target } from "../support/rawTcp.ts"
import { FRAME, frame, headers, parseFrames, PREFACE } from "../support/craftedFrames.ts"
import { Victim } from "../support/Victim.ts"

type Answer = number | `reset ${number}`

/** A tunnel that ends with the test, however that goes. */
const tunnel = Effect.flatMap(Victim, ({ openHttp2 }) =>
  Effect.acquireRelease(Effect.promise(openHttp2), (session) => Effect.sync(() => session.destroy()))
)

const ask = (
  session: Http2.ClientHttp2Session,
  authority: string,
  extra: Record<string, string | Array<string>> = {}
) =>
  new Promise<Answer>((resolve) => {
    const stream = session.request({ ":method": "CONNECT", ":authority": authority, ...extra })
    stream.on("error", () => {})
    stream.once("response", (response) => {
      resolve(response[":status"] ?? 0)
      stream.close()
    })
    stream.once("close", () => resolve(`reset ${stream.rstCode ?? 0}`))
  })

const LONG = "x".repeat(4_000)

layer(Victim.layer(), { excludeTestServices: true })("a CONNECT", (it) => {
  it.effect("with an authority that is none is answered with 400, and the next one is served", () =>
    Effect.gen(function* () {
      const { echo, unharmed } = yield* Victim
      const session = yield* tunnel
      const { host, port } = echo
      yield* Effect.promise(async () => {
        const wrong = [
          host,
          `${host}:`,
          `${host}:0`,
          `${host}:65536`,
          `${host}:99999999999`,
          `${host}:-1`,
          `${host}:80x`,
          `:${port}`,
          `user@${host}:${port}`,
          `[fe80::1%eth0]:80`,
          `[::1`,
          `[::1]`,
          `::1:80`,
          `[${host}]:${port}`,
          `http://${host}:${port}`,
          `2130706433:${port}`,
          `127.1:${port}`,
          `10.0.0.1:${port}`,
          `${LONG}:80`,
          `${host}:${port}/path`
        ]
        for (const authority of wrong) {
          // nghttp2 itself turns away what is no URI authority at all (PROTOCOL_ERROR)
          assert.include([400, "reset 1"], await ask(session, authority), authority.slice(0, 60))
        }
        for (const name of ["no.such.name", "0x7f000001"]) {
          assert.strictEqual(await ask(session, `${name}:${port}`), 503, name)
        }
        assert.strictEqual(await ask(session, `${host}:${port}`), 200)
        session.destroy()
        await unharmed()
      })
    })
  )

  it.effect("with absurd values in its other headers is served, or refused without harm", () =>
    Effect.gen(function* () {
      const { echo, unharmed } = yield* Victim
      const session = yield* tunnel
      const authority = `${echo.host}:${echo.port}`
      yield* Effect.promise(async () => {
        const served: ReadonlyArray<Record<string, string | Array<string>>> = [
          { traceparent: "a".repeat(55) },
          { traceparent: "00-" },
          { baggage: `k8s.namespace.name=${LONG}` },
          { baggage: Array.from({ length: 100 }, (_, each) => `key${each}=,,;;==%zz`) },
          { baggage: "%E0%A4%A" },
          { forwarded: `for="${LONG}";host="${LONG}` },
          { forwarded: Array.from({ length: 100 }, () => ';;;,,,host=="\\') },
          { "x-forwarded-network": ["a", "b", "c"] },
          { "x-unknown": LONG }
        ]
        for (const extra of served)
          assert.strictEqual(await ask(session, authority, extra), 200, JSON.stringify(extra).slice(0, 60))
        // more than the 64 KiB of headers that weft allows: this tunnel may end, weft may not
        await ask(session, authority, { baggage: Array.from({ length: 40 }, () => LONG) }).catch(() => undefined)
        session.destroy()
        await unharmed()
      })
    })
  )

  it.effect("to a port of weft itself is refused, through the tunnel and through SOCKS5", () =>
    Effect.gen(function* () {
      const { echo, unharmed, weft } = yield* Victim
      const session = yield* tunnel
      const { inbound, outbound, socks5 } = weft.ports
      yield* Effect.promise(async () => {
        for (const { port } of [inbound, outbound, weft.ports["inbound plaintext"], socks5]) {
          assert.strictEqual(await ask(session, `${echo.host}:${port}`), 503, `port ${port}`)
        }
        session.destroy()
        for (const { port } of [inbound, outbound, weft.ports["inbound plaintext"], socks5]) {
          for (const host of ["127.0.0.1", "0.0.0.0", echo.host]) {
            assert.strictEqual(await socks5Reply(socks5, { host, port }), 1, `${host}:${port}`)
          }
        }
        await unharmed()
      })
    })
  )

  it.effect("with pseudo headers that it may not have is never served", () =>
    Effect.gen(function* () {
      const { echo, openTls, unharmed } = yield* Victim
      const method = [":method", "CONNECT"] as const
      const authority = [":authority", `${echo.host}:${echo.port}`] as const
      const wrong: Readonly<Record<string, ReadonlyArray<readonly [string, string]>>> = {
        "no authority": [method],
        "an empty authority": [method, [":authority", ""]],
        "a path": [method, authority, [":path", "/"]],
        "a scheme": [method, authority, [":scheme", "https"]],
        "two authorities": [method, authority, authority],
        "two methods": [method, method, authority],
        "a status": [method, authority, [":status", "200"]],
        "a pseudo header after others": [method, ["x", "y"], authority],
        "an unknown pseudo header": [method, authority, [":weft", "1"]],
        "upper case": [method, authority, ["X-Upper", "1"]],
        "a connection header": [method, authority, ["connection", "keep-alive"]]
      }
      yield* Effect.promise(async () => {
        for (const [what, list] of Object.entries(wrong)) {
          const socket = await openTls()
          let received = Buffer.alloc(0)
          socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
          const gone = closed(socket)
          socket.write(
            Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), frame(FRAME.settings, 1, 0), headers(1, list)])
          )
          const answer = () =>
            parseFrames(received).find(
              ({ stream, type }) => (stream === 1 && type !== FRAME.windowUpdate) || type === FRAME.goaway
            )
          await eventually(() => socket.destroyed || answer() !== undefined, `an answer to ${what}`)
          const first = answer()
          // the static table's entry 8 is `:status: 200`
          assert.isFalse(first?.type === FRAME.headers && first.payload[0] === 0x88, `${what} was served`)
          socket.destroy()
          await gone
        }
        await unharmed()
      })
    })
  )

  it.effect("whose body comes before the answer reaches the server whole", () =>
    Effect.gen(function* () {
      const { echo, unharmed } = yield* Victim
      const session = yield* tunnel
      yield* Effect.promise(async () => {
        const stream = session.request({ ":method": "CONNECT", ":authority": `${echo.host}:${echo.port}` })
        const body = "early ".repeat(10_000)
        stream.end(body)
        let received = ""
        for await (const chunk of stream) received += String(chunk)
        assert.isTrue(received === body, `${received.length} of ${body.length} bytes came back`)
        // and to a target that refuses it is dropped
        const refused = session.request({ ":method": "CONNECT", ":authority": "nonsense" })
        refused.on("error", () => {})
        refused.end(body)
        refused.resume()
        await new Promise((resolve) => refused.once("close", resolve))
        session.destroy()
        await unharmed()
      })
    })
  )
})

/** The reply's code. */
const socks5Reply = (proxy: Target, { host, port }: Target) =>
  new Promise<number>((resolve, reject) => {
    const socket = connectPlain(proxy)
    let received = Buffer.alloc(0)
    socket.on("data", (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
    socket.once("close", () =>
      received.length === 12 ? resolve(received[3]!) : reject(new Error(`got ${received.length} bytes`))
    )
    socket.once("end", () => socket.end())
    socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, ...host.split(".").map(Number), port >> 8, port & 255]))
  })
