import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { ipUnsafe, LOOPBACK_V4 } from "../../../src/domain/Address.ts"
import { Native } from "../../../src/layers/os/Native.ts"
import { BindError, SocketFactory } from "../../../src/layers/os/SocketFactory.ts"
import { isOpen } from "../../support/kernelTcp.ts"

const factory = SocketFactory.pipe(Effect.provide(Layer.provide(SocketFactory.layer, Native.layer)))

describe.skipIf(Os.platform() !== "linux")("the listening sockets of the process (Linux)", () => {
  it.live("are open for as long as their scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { address, fd } = yield* Scope.provide((yield* factory).listen({ ip: LOOPBACK_V4, port: 0 }, PLAIN), scope)
      assert.isAbove(address.port, 0)
      assert.isTrue(isOpen(fd ?? -1))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isOpen(fd ?? -1))
    })
  )

  it.live("say in plain words why a port cannot be had", () =>
    Effect.gen(function* () {
      const { listen } = yield* factory
      const { address } = yield* listen({ ip: LOOPBACK_V4, port: 0 }, PLAIN)
      const taken = yield* Effect.flip(listen(address, PLAIN))
      assert.strictEqual(taken.message, `cannot listen on 127.0.0.1:${address.port}: the port is taken`)
      const foreign = yield* Effect.flip(listen({ ip: ipUnsafe("192.0.2.1"), port: 0 }, PLAIN))
      assert.strictEqual(foreign.message, "cannot listen on 192.0.2.1:0: this machine does not have that address")
    })
  )

  it("name what they do not know by its code", () => {
    const error = new BindError({ address: { ip: ipUnsafe("::1"), port: 1 }, code: "EPERM" })
    assert.strictEqual(error.message, "cannot listen on [::1]:1: EPERM")
  })
})

it.live("without the kernel's help each shard binds for itself", () =>
  Effect.gen(function* () {
    const { listen } = yield* SocketFactory
    const address = { ip: LOOPBACK_V4, port: 0 }
    assert.deepStrictEqual(yield* listen(address, PLAIN), { address, fd: undefined })
  }).pipe(Effect.provide(Layer.provide(SocketFactory.layer, Native.layerPortable)))
)

const PLAIN = { keepalive: undefined, abortOnClose: false }
