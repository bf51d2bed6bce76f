/** No descriptors left: weft lives, keeps what it has, makes the rest wait or refuses it, and recovers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { existsSync } from "node:fs"
import { eventually } from "../support/eventually.ts"
import { connectBySocks5, descriptors, exchange } from "../support/rawTcp.ts"
import { Victim } from "../support/Victim.ts"

const LIMIT = 120
const PRLIMIT = "/usr/bin/prlimit"

describe("with no descriptors left", () => {
  it.live.skipIf(!existsSync(PRLIMIT))("weft serves those it has, and everyone again once they close (prlimit)", () =>
    Effect.gen(function* () {
      const { echo, unharmed, weft } = yield* Victim
      yield* Effect.promise(async () => {
        const { readiness, socks5 } = weft.ports
        const kept = []
        while (kept.length < 20) kept.push(await connectBySocks5(socks5, echo))
        // each needs a descriptor on its way in, and one on its way out of the tunnel
        const asked = Array.from({ length: 2 * LIMIT }, () =>
          connectBySocks5(socks5, echo).then(
            (socket) => ({ socket }),
            (cause: unknown) => ({ cause })
          )
        )
        await eventually(
          () => descriptors(weft.pid) >= LIMIT - 1,
          () => `all descriptors in use: ${descriptors(weft.pid)}`
        )
        for (const socket of kept) await exchange(socket, "as if nothing were")
        // the rest is served, or refused: in so many words, or by a reset, for libuv accepts and closes what waits
        for (const one of asked) {
          void one.then((it) => ("socket" in it ? it.socket.destroy() : undefined))
        }
        const failures = (await Promise.all(asked)).flatMap((one) => ("cause" in one ? [String(one.cause)] : []))
        const unclear = failures.filter((failure) => !/SOCKS5 refused with code|SOCKS5 ended|ECONNRESET/.test(failure))
        assert.deepStrictEqual(unclear, [])
        for (const socket of kept) {
          await exchange(socket, "and afterwards")
          socket.destroy()
        }
        await eventually(async () => {
          const answer = await fetch(`http://${readiness.host}:${readiness.port}/healthz/ready`)
          await answer.body?.cancel()
          return answer.status === 200
        }, "readiness")
        await unharmed()
      })
    }).pipe(Effect.provide(Layer.fresh(Victim.layer({ prefix: [PRLIMIT, `--nofile=${LIMIT}:${LIMIT}`] }))))
  )
})
