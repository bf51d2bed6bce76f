/** Bytes between a real client and a real server, through both sides of weft and the tunnel between them. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Crypto from "node:crypto"
import type * as Net from "node:net"
import { accessLineFrom } from "../support/accessLines.ts"
import { eventually } from "../support/eventually.ts"
import { MeshPair } from "../support/meshPair.ts"
import { type Peer, tcpServer } from "../support/tcpPeers.ts"

/** A connection through the tunnel: its two ends, and its access line on either side, once it is complete. */
const connection = Effect.gen(function* () {
  const { addresses, client, open, server } = yield* MeshPair
  const application = yield* tcpServer(addresses.server)
  const authority = { "dst.hbone_addr": `${application.host}:${application.port}` }
  const lines = [accessLineFrom(client, authority), accessLineFrom(server, authority)]
  const near = yield* open(application.host, application.port)
  const far = yield* Effect.promise(application.accept)
  return { near, far, complete: () => Promise.all(lines.map((line) => line())) }
})

layer(MeshPair.layer(), { excludeTestServices: true, timeout: "60 seconds" })("one HBONE connection", (it) => {
  it.effect("carries 64 MiB of random bytes each way at once, intact", () =>
    Effect.gen(function* () {
      const { complete, far, near } = yield* connection
      const [up, down] = [Crypto.randomBytes(64 * MIB), Crypto.randomBytes(64 * MIB)]
      yield* Effect.promise(async () => {
        near.socket.end(up)
        far.socket.end(down)
        const [arrivedUp, arrivedDown] = await Promise.all([far.ended, near.ended])
        assert.strictEqual(sha256(arrivedUp), sha256(up))
        assert.strictEqual(sha256(arrivedDown), sha256(down))
        for (const { fields, level } of await complete()) {
          assert.strictEqual(level, "info")
          assert.deepInclude(fields, { bytes_sent: String(64 * MIB), bytes_recv: String(64 * MIB) })
        }
      })
    })
  )

  const orders: ReadonlyArray<readonly [string, (ends: { near: Peer; far: Peer }) => readonly [Peer, Peer]]> = [
    ["client", ({ far, near }) => [near, far]],
    ["server", ({ far, near }) => [far, near]]
  ]
  for (const [who, inOrder] of orders) {
    it.effect(`goes on in one direction when the ${who} has finished the other`, () =>
      Effect.gen(function* () {
        const ends = yield* connection
        const [first, second] = inOrder(ends)
        yield* Effect.promise(async () => {
          first.socket.end("that was all")
          assert.strictEqual(String(await second.ended), "that was all")
          for (const part of ["one", "two", "three"]) {
            second.socket.write(part)
            assert.strictEqual(await first.text(part), part)
          }
          const rest = Crypto.randomBytes(4 * MIB)
          second.socket.end(rest)
          assert.strictEqual(sha256(await first.ended), sha256(rest))
          assert.deepStrictEqual(await Promise.all([first.closed, second.closed]), ["in order", "in order"])
          for (const { fields, level } of await ends.complete()) {
            assert.strictEqual(level, "info")
            assert.notProperty(fields, "error")
          }
        })
      })
    )

    it.effect(`brings a reset of the ${who}'s connection to the other end as a reset, logged as a normal end`, () =>
      Effect.gen(function* () {
        const ends = yield* connection
        const [first, second] = inOrder(ends)
        yield* Effect.promise(async () => {
          first.socket.write("before")
          assert.strictEqual(await second.text("before"), "before")
          second.socket.write("after")
          assert.strictEqual(await first.text("after"), "after")
          first.socket.resetAndDestroy()
          assert.strictEqual(await second.closed, "reset")
          for (const { fields, level } of await ends.complete()) {
            assert.strictEqual(level, "info")
            assert.notProperty(fields, "error")
          }
        })
      })
    )

    it.effect(`brings the ${who}'s reset after its peer had finished sending as a reset too`, () =>
      Effect.gen(function* () {
        const ends = yield* connection
        const [first, second] = inOrder(ends)
        yield* Effect.promise(async () => {
          second.socket.end("done")
          assert.strictEqual(String(await first.ended), "done")
          first.socket.resetAndDestroy()
          assert.strictEqual(await second.closed, "reset")
          for (const { level } of await ends.complete()) assert.strictEqual(level, "info")
        })
      })
    )

    it.effect(`whose ${who} stops reading does not stop others of its tunnel, and loses nothing`, () =>
      Effect.gen(function* () {
        const stalled = yield* Effect.replicateEffect(connection, 4)
        const fifth = yield* connection
        yield* Effect.promise(async () => {
          const pairs = stalled.map((ends) => inOrder(ends))
          const feeds = pairs.map(([reader, writer]) => {
            reader.socket.pause()
            return feed(writer.socket)
          })
          await eventually(standStill(feeds), "four writers that cannot go on", 20_000)

          const [up, down] = [Crypto.randomBytes(8 * MIB), Crypto.randomBytes(8 * MIB)]
          fifth.near.socket.end(up)
          fifth.far.socket.end(down)
          const [arrivedUp, arrivedDown] = await Promise.all([fifth.far.ended, fifth.near.ended])
          assert.strictEqual(sha256(arrivedUp), sha256(up))
          assert.strictEqual(sha256(arrivedDown), sha256(down))
          for (const { sent } of feeds) assert.isBelow(sent, STALL, "what nobody reads is not taken in without limit")

          for (const [reader, writer] of pairs) {
            reader.socket.resume()
            reader.socket.end()
            assert.strictEqual((await reader.ended).length, STALL)
            assert.strictEqual(await writer.closed, "in order")
          }
          // the peer's port on the far side is the tunnel
          const tunnels = new Set<string | undefined>()
          for (const { complete } of [...stalled, fifth]) tunnels.add((await complete())[1]?.fields["src.addr"])
          assert.strictEqual(tunnels.size, 1)
        })
      })
    )
  }
})

interface Feed {
  /** Bytes that the kernel has taken. */
  sent: number
}

/** Sends `STALL` bytes and the end, one chunk after the other. */
const feed = (socket: Net.Socket): Feed => {
  const progress: Feed = { sent: 0 }
  const next = () => {
    if (progress.sent >= STALL) return void socket.end()
    socket.write(CHUNK, (error) => {
      if (error) return
      progress.sent += CHUNK.length
      next()
    })
  }
  next()
  return progress
}

/** True once none could go on for a while. */
const standStill = (feeds: ReadonlyArray<Feed>) => {
  let before = ""
  let since = performance.now()
  return () => {
    const now = feeds.map(({ sent }) => sent).join()
    if (now !== before) since = performance.now()
    before = now
    return performance.now() - since > 250
  }
}

const sha256 = (bytes: Buffer): string => Crypto.createHash("sha256").update(bytes).digest("hex")

const MIB = 1024 * 1024
const CHUNK = Crypto.randomBytes(64 * 1024)
/** More than the stream's window and the buffers of three sockets take. */
const STALL = 32 * MIB
