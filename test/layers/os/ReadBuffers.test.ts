import { assert, describe, it } from "@effect/vitest"
import { giveBack, sizeFor, takeBuffer } from "../../../src/layers/os/ReadBuffers.ts"
import { integer, THOROUGH } from "../../support/hostileInput.ts"

describe("read buffers", () => {
  it.each([
    [0, 1024],
    [1024, 4096],
    [16 * 1024 - 1, 4096],
    [16 * 1024, 16 * 1024],
    [128 * 1024, 64 * 1024],
    [10 * 1024 * 1024, 256 * 1024]
  ])("after %d bytes a connection reads %d at once", (moved, size) => {
    assert.strictEqual(sizeFor(moved), size)
  })

  it.prop(
    "never shrink",
    [integer(0, 2 ** 30), integer(0, 2 ** 30)],
    ([moved, more]) => {
      assert.isAtLeast(sizeFor(moved + more), sizeFor(moved))
    },
    THOROUGH
  )

  it("are handed out again once given back, each to one at a time", () => {
    for (const size of [1024, 4096, 256 * 1024]) {
      const taken = Array.from({ length: 200 }, () => takeBuffer(size))
      taken.forEach((buffer, index) => buffer.fill(index))
      assert.isTrue(taken.every((buffer, index) => buffer.length === size && buffer.equals(Buffer.alloc(size, index))))
      for (const buffer of taken.splice(0, 10)) giveBack(buffer)
      taken.push(...Array.from({ length: 20 }, () => takeBuffer(size)))
      taken.forEach((buffer, index) => buffer.fill(index))
      assert.isTrue(taken.every((buffer, index) => buffer.equals(Buffer.alloc(size, index))))
    }
  })

  it("of a size that is none of theirs are not kept", () => {
    const odd = Buffer.allocUnsafeSlow(5_000)
    giveBack(odd)
    assert.notStrictEqual(takeBuffer(5_000).buffer, odd.buffer)
  })

  it("are kept up to 4 MiB of a size", () => {
    const many = Array.from({ length: 40 }, () => takeBuffer(256 * 1024))
    for (const buffer of many) giveBack(buffer)
    const again = new Set(Array.from({ length: 40 }, () => takeBuffer(256 * 1024).buffer))
    assert.lengthOf(
      many.filter((buffer) => again.has(buffer.buffer)),
      16
    )
  })
})
