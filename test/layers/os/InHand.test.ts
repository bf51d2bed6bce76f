import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { LOOPBACK_V4 } from "../../../src/domain/Address.ts"
import { byteLength, IN_HAND, layoutOf } from "../../../src/domain/shard/MetricLayout.ts"
import { InHand } from "../../../src/layers/os/InHand.ts"
import { linuxCalls } from "../../../src/layers/os/Native.ts"
import { isOpen } from "../../support/kernelTcp.ts"

/** Shard 1 of 2; `noted` is what the supervisor would find of it. */
const shard = Effect.gen(function* () {
  const layout = layoutOf(new SharedArrayBuffer(byteLength(2)), 2)
  const service = yield* InHand.pipe(Effect.provide(InHand.layer(layout, 1)))
  const linux = yield* Effect.promise(linuxCalls)
  const socket = () => linux.socketFor(LOOPBACK_V4, { mark: undefined, bind: undefined })
  const noted = () => [...layout.inHand].flatMap((fd, slot) => (fd === 0 ? [] : [[slot - IN_HAND, fd]]))
  return { service, linux, socket, noted }
})

describe.skipIf(Os.platform() !== "linux")("a descriptor between the kernel and Node (Linux)", () => {
  it.effect("is noted for as long as nobody has taken it", () =>
    Effect.gen(function* () {
      const { linux, noted, service, socket } = yield* shard
      const fd = service.wrap(linux, socket, (fd) => {
        assert.deepStrictEqual(noted(), [[0, fd]])
        return fd
      })
      assert.deepStrictEqual(noted(), [])
      assert.isTrue(isOpen(fd))
      linux.close(fd)
    })
  )

  it.effect("is closed, and no longer noted, when it could not be handed over", () =>
    Effect.gen(function* () {
      const { linux, noted, service, socket } = yield* shard
      let fd = -1
      assert.throws(
        () =>
          service.wrap(linux, socket, (made) => {
            fd = made
            throw new Error("no")
          }),
        "no"
      )
      assert.deepStrictEqual(noted(), [])
      assert.isFalse(isOpen(fd))
    })
  )

  it.effect("is not there when it could not be made", () =>
    Effect.gen(function* () {
      const { linux, noted, service } = yield* shard
      assert.throws(() =>
        service.wrap(
          linux,
          () => linux.duplicate(999_999),
          () => assert.fail("nothing to hand over")
        )
      )
      assert.deepStrictEqual(noted(), [])
    })
  )

  it.effect("has a slot of its own when one is made while another is handed over", () =>
    Effect.gen(function* () {
      const { linux, noted, service, socket } = yield* shard
      service.wrap(linux, socket, (outer) => {
        service.wrap(linux, socket, (inner) => {
          assert.deepStrictEqual(noted(), [
            [0, outer],
            [1, inner]
          ])
          linux.close(inner)
        })
        assert.deepStrictEqual(noted(), [[0, outer]])
        linux.close(outer)
      })
      assert.deepStrictEqual(noted(), [])
    })
  )
})
