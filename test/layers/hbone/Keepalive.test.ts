import { EventEmitter } from "node:events"
import type { Http2Session } from "node:http2"
import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { keepalive, PING } from "../../../src/layers/hbone/Http2.ts"

/** As much of a session as pings need; PONGs come when the test says so. */
class FakeSession extends EventEmitter {
  closed = false
  destroyed = false
  readonly pings: Array<(error: Error | null) => void> = []
  ping(callback: (error: Error | null) => void): boolean {
    this.pings.push(callback)
    return true
  }
}

const started = () => {
  const session = new FakeSession()
  let lost = 0
  // a FakeSession is what keepalive uses of a session
  const stop = keepalive(session as unknown as Http2Session, { ...PING, onLost: () => (lost += 1) })
  return { session, stop, lost: () => lost }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe("keepalive pings", () => {
  it("are sent 10 s after the start, and 10 s after each answer", () => {
    const { lost, session } = started()
    vi.advanceTimersByTime(9_999)
    assert.lengthOf(session.pings, 0)
    vi.advanceTimersByTime(1)
    assert.lengthOf(session.pings, 1)
    vi.advanceTimersByTime(15_000)
    assert.lengthOf(session.pings, 1)
    session.pings[0]?.(null)
    vi.advanceTimersByTime(10_000)
    assert.lengthOf(session.pings, 2)
    assert.strictEqual(lost(), 0)
  })

  it("without an answer for 20 s tell that the peer is lost, once", () => {
    const { lost, session } = started()
    vi.advanceTimersByTime(29_999)
    assert.strictEqual(lost(), 0)
    vi.advanceTimersByTime(1)
    assert.strictEqual(lost(), 1)
    vi.advanceTimersByTime(100_000)
    assert.strictEqual(lost(), 1)
    assert.lengthOf(session.pings, 1)
  })

  it("end with the session, at whatever moment", () => {
    const { lost, session } = started()
    vi.advanceTimersByTime(10_000)
    session.emit("close")
    vi.advanceTimersByTime(100_000)
    assert.strictEqual(lost(), 0)
    assert.lengthOf(session.pings, 1)
    const destroyed = started()
    destroyed.session.destroyed = true
    vi.advanceTimersByTime(100_000)
    assert.lengthOf(destroyed.session.pings, 0)
  })

  it("go on after a GOAWAY: streams that still run need to know when their peer dies", () => {
    const { session } = started()
    session.closed = true
    vi.advanceTimersByTime(10_000)
    assert.lengthOf(session.pings, 1)
  })

  it("end when they are stopped", () => {
    const { lost, session, stop } = started()
    stop()
    vi.advanceTimersByTime(100_000)
    assert.lengthOf(session.pings, 0)
    assert.strictEqual(lost(), 0)
  })

  it("that the session did not send do not count as lost", () => {
    const { lost, session } = started()
    vi.advanceTimersByTime(10_000)
    session.destroyed = true
    session.pings[0]?.(new Error("cancelled"))
    vi.advanceTimersByTime(100_000)
    assert.strictEqual(lost(), 0)
  })
})
