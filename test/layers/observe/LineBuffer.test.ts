/** The lines that wait for a reader, with a reader that does as the test says. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { LineBuffer } from "../../../src/layers/observe/LineWriter.ts"
import { eventually } from "../../support/eventually.ts"
import { integer, oneOf } from "../../support/hostileInput.ts"

const EAGAIN = Object.assign(new Error("EAGAIN"), { code: "EAGAIN" })
const EPIPE = Object.assign(new Error("EPIPE"), { code: "EPIPE" })

/** Takes up to `room()` bytes of each chunk; 0 is EAGAIN. */
const reader = (room: (chunk: Buffer) => number) => {
  const chunks: Array<Buffer> = []
  let dropped = 0
  const buffer = new LineBuffer(
    (chunk) => {
      const taken = Math.min(chunk.length, room(chunk))
      if (taken === 0) throw EAGAIN
      chunks.push(Buffer.from(chunk.subarray(0, taken)))
      return taken
    },
    (lines) => (dropped += lines)
  )
  return { buffer, chunks, text: () => Buffer.concat(chunks).toString(), dropped: () => dropped }
}

const numbered = (count: number, pad = 80): Array<string> =>
  Array.from({ length: count }, (_, index) => `${String(index).padStart(8, "0")} ${"x".repeat(pad)}\n`)

describe("a buffer of lines", () => {
  it("sends nothing before the caller has gone on, then everything in few writes", async () => {
    const { buffer, chunks, dropped, text } = reader(() => Number.POSITIVE_INFINITY)
    const lines = numbered(200)
    for (const line of lines) buffer.write(line)
    assert.lengthOf(chunks, 0)
    await eventually(() => text() === lines.join(""), "all lines")
    assert.isBelow(chunks.length, 10)
    assert.strictEqual(dropped(), 0)
  })

  it("never sends two lines in more bytes than a pipe takes whole, whatever they are made of", () => {
    const { buffer, chunks } = reader(() => Number.POSITIVE_INFINITY)
    for (let index = 0; index < 500; index++) buffer.write(`${index} ${"né→😀".repeat(index % 60)}\n`)
    buffer.flush()
    for (const chunk of chunks) {
      assert.isTrue(chunk.length <= 4096 || chunk.indexOf("\n") === chunk.length - 1, `${chunk.length} bytes`)
      assert.isTrue(chunk.toString().endsWith("\n"))
    }
  })

  it("goes on with the rest of a line of which a part was taken", () => {
    const { buffer, text } = reader(() => 7)
    const lines = numbered(30)
    for (const line of lines) buffer.write(line)
    buffer.flush()
    assert.strictEqual(text(), lines.join(""))
  })

  it("tries again by itself when the reader had no room", async () => {
    let full = true
    const { buffer, dropped, text } = reader(() => (full ? 0 : 4096))
    buffer.write("a line\n")
    buffer.flush()
    assert.strictEqual(text(), "")
    full = false
    await eventually(() => text() === "a line\n", "the line")
    assert.strictEqual(dropped(), 0)
  })

  it("keeps 4 MiB for a reader that stalls, and counts each line that does not fit", () => {
    let full = true
    const { buffer, dropped, text } = reader(() => (full ? 0 : 4096))
    const lines = numbered(60_000)
    for (const line of lines) {
      buffer.write(line)
      buffer.flush()
    }
    assert.isAbove(dropped(), 0)
    full = false
    buffer.flush()
    const kept = lines.length - dropped()
    assert.approximately(text().length, 4 * 1024 * 1024, 8192)
    assert.strictEqual(text(), lines.slice(0, kept).join(""))
    buffer.write("later\n")
    buffer.flush()
    assert.isTrue(text().endsWith("later\n"))
  })

  it("counts every line that is left when it closes, those it was about to write as well", () => {
    const { buffer, dropped } = reader(() => 0)
    for (const line of numbered(100)) buffer.write(line)
    buffer.flush()
    buffer.close()
    assert.strictEqual(dropped(), 100)
  })

  it("counts every line when the reader has gone, and goes on", () => {
    let dropped = 0
    let gone = true
    const taken: Array<string> = []
    const buffer = new LineBuffer(
      (chunk) => {
        if (gone) throw EPIPE
        taken.push(String(chunk))
        return chunk.length
      },
      (lines) => (dropped += lines)
    )
    for (const line of numbered(100)) buffer.write(line)
    buffer.flush()
    assert.strictEqual(dropped, 100)
    gone = false
    buffer.write("later\n")
    buffer.flush()
    assert.deepStrictEqual(taken, ["later\n"])
  })

  it("sends nothing once it is closed: its descriptor may be another's by then", async () => {
    const { buffer, dropped, text } = reader(() => 4096)
    buffer.close()
    buffer.write("late\n")
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    assert.strictEqual(text(), "")
    assert.strictEqual(dropped(), 1)
  })

  it.prop(
    "delivers, in order and whole, every line that it did not count as dropped",
    [
      Arbitrary.array(oneOf([1, 10, 100, 3000, 5000]), { maxLength: 40 }),
      Arbitrary.array(integer(0, 6000), { minLength: 1, maxLength: 20 })
    ],
    ([sizes, room]) => {
      let call = 0
      let done = false
      const { buffer, dropped, text } = reader(() => (done ? 4096 : room[call++ % room.length]!))
      const lines = sizes.map((size, index) => `${index}:${"é".repeat(size)}\n`)
      for (const line of lines) {
        buffer.write(line)
        if (line.length % 3 === 0) buffer.flush()
      }
      done = true
      buffer.close()
      assert.strictEqual(text(), lines.join(""))
      assert.strictEqual(dropped(), 0)
    },
    { arbitrary: { runs: 100 } }
  )
})
