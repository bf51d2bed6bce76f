/** A client that speaks first, as most do: its bytes are there while the proxy still dials, and nobody reads yet. */
import { once } from "node:events"
import { setImmediate as turn } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LOOPBACK_V4 } from "../../../src/domain/Address.ts"
import { byteLength, layoutOf } from "../../../src/domain/shard/MetricLayout.ts"
import { ShardMetrics } from "../../../src/layers/observe/Metrics.ts"
import type { Conduit } from "../../../src/layers/os/Conduit.ts"
import { InHand } from "../../../src/layers/os/InHand.ts"
import { Listeners } from "../../../src/layers/os/Listener.ts"
import { Native } from "../../../src/layers/os/Native.ts"
import { TcpConduit } from "../../../src/layers/os/TcpConduit.ts"
import { connectPlain } from "../../support/rawTcp.ts"

const layout = layoutOf(new SharedArrayBuffer(byteLength(1)), 1)
const listeners = Layer.build(
  Listeners.layer(1).pipe(
    Layer.provide(Layer.mergeAll(ShardMetrics.layer(layout, 0, 1), InHand.layer(layout, 0))),
    Layer.provide(Native.layerPortable)
  )
)

describe("an accepted connection as a conduit", () => {
  it.live("keeps what its client sends before anyone reads", () =>
    Effect.gen(function* () {
      const { listen } = Context.get(yield* listeners, Listeners)
      const accepted = Promise.withResolvers<TcpConduit>()
      const { ip, port } = yield* listen(
        { kind: "outbound", address: { ip: LOOPBACK_V4, port: 0 }, fd: undefined },
        (each) => accepted.resolve(new TcpConduit((onread) => each.socket({ allowHalfOpen: true, onread })))
      )
      const client = connectPlain({ host: ip, port })
      yield* Effect.promise(() => once(client, "connect"))
      client.write("GET / HTTP/1.1")
      const conduit = yield* Effect.promise(() => accepted.promise)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          conduit.destroy()
          client.destroy()
        })
      )
      // on loopback the bytes are there: a socket that reads would have read them within these turns of the loop
      for (let turns = 0; turns < 20; turns++) yield* Effect.promise(() => turn())
      const read = new Promise<string>((resolve) => {
        const taking: Pick<Conduit, "congested" | "gather" | "write"> = {
          gather: () => {},
          congested: () => false,
          write: (chunk) => {
            resolve(String(chunk))
            return true
          }
        }
        // a pump only writes to its other side
        conduit.pump(taking as Conduit, () => {})
      })
      assert.strictEqual(yield* Effect.promise(() => read), "GET / HTTP/1.1")
    })
  )
})
