/**
 * A socket that does not read does not notice a reset. Those that are paused, because the other side takes nothing, are
 * asked for their TCP state once a second (house.md §5: 2 µs each). A connection that both sides have ended in order is
 * closed as well, while what it brought may still wait to be read: only a reset leaves an error behind.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { descriptorOf } from "./Descriptor.ts"
import { type LinuxCalls, Native } from "./Native.ts"
import { pausedConduits } from "./TcpConduit.ts"

export const layerPausedSweep = Layer.effectDiscard(
  Effect.gen(function* () {
    const { linux } = yield* Native
    if (linux === undefined) return
    yield* Effect.sync(() => {
      for (const conduit of pausedConduits) {
        const fd = descriptorOf(conduit.socket)
        if (fd !== undefined && isReset(linux, fd)) conduit.foundReset()
      }
    }).pipe(Effect.delay("1 second"), Effect.forever, Effect.forkScoped)
  })
)

const isReset = (linux: LinuxCalls, fd: number): boolean => {
  try {
    return linux.tcpState(fd) === CLOSED && linux.socketError(fd) !== 0
  } catch {
    // not a TCP socket that the kernel would tell about: one of them must not end the sweep
    return false
  }
}

/** TCP_CLOSE of Linux. */
const CLOSED = 7
