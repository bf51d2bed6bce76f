/**
 * House rule 1: the main threads of both proxies stop for 5 s, and neither established nor new connections notice.
 * The load comes from a process of its own (test/bench/load).
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { endAll } from "../bench/children.ts"
import { Load } from "../bench/load/Load.ts"
import type { Entry } from "../bench/load/order.ts"
import { INSPECT, stopMainThread } from "../support/Inspected.ts"
import { startPair } from "../support/meshPair.ts"

const ROUNDS = 5
const STOP_MS = 5_000

describe("while the main threads are stopped for 5 s", () => {
  it.live("no connection fails, new ones are served, and p99 stays within 1.3 of the quiet run", () =>
    Effect.gen(function* () {
      const { addresses, client, server } = yield* startPair({ env: { ...INSPECT, RUST_LOG: "info,access=warn" } })
      const load = yield* Effect.acquireRelease(
        Effect.promise(() => Load.start()),
        () => Effect.promise(endAll)
      )
      const entry: Entry = { host: addresses.server, port: load.targets(0).echo, socks: client.ports.socks5 }
      const requests = async () => {
        const order = { _tag: "Requests", entry, connections: 32, warmUpMs: 400, measureMs: 2_400 } as const
        const { failed, p99Us } = await load.measure(order, "Answered", () => {})
        assert.strictEqual(failed, 0, "connections that failed")
        return p99Us
      }
      const connects = async () => {
        const order = { _tag: "Connect", entry, concurrency: 4, warmUpMs: 100, measureMs: 700 } as const
        const { connections, failed } = await load.measure(order, "Connected", () => {})
        assert.strictEqual(failed, 0, "new connections that failed")
        assert.isAbove(connections, 0)
        return connections
      }
      yield* Effect.promise(async () => {
        await requests()
        const rounds: Array<{ readonly quiet: number; readonly stopped: number; readonly connections: number }> = []
        for (let round = 0; round < ROUNDS; round++) {
          const quiet = await requests()
          let goesOn = 0
          const stops = [client, server].map(async ({ stderr }) => {
            await stopMainThread(stderr, STOP_MS)
            goesOn += 1
          })
          const stopped = await requests()
          const connections = await connects()
          assert.strictEqual(goesOn, 0, "a main thread went on before the measurement was over")
          await Promise.all(stops)
          rounds.push({ quiet, stopped, connections })
        }
        console.log("p99 in µs, and new connections in 0.7 s of the stop:", rounds)
        const ratios = rounds.map(({ quiet, stopped }) => stopped / quiet).toSorted((a, b) => a - b)
        console.log("stopped / quiet, sorted:", ratios)
        assert.isAtMost(ratios[Math.floor(ROUNDS / 2)]!, 1.3)
      })
    })
  )
})
