/**
 * Descriptors that a shard has made and not yet given to Node. If the shard dies in between, the supervisor finds them in
 * shared memory and closes them; otherwise they would leak with the thread (house.md §5).
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { LinuxCalls } from "./Native.ts"
import { IN_HAND, type Layout } from "../../domain/shard/MetricLayout.ts"

export class InHand extends Context.Service<
  InHand,
  {
    /** Makes a descriptor and hands it over, noted in between. `give` takes it for good, or throws and it is closed. */
    readonly wrap: <A>(linux: LinuxCalls, make: () => number, give: (fd: number) => A) => A
  }
>()("weft/layers/os/InHand") {
  static readonly layer = (layout: Layout, shard: number) =>
    Layer.sync(this, () => {
      const slots = layout.inHand.subarray(shard * IN_HAND, (shard + 1) * IN_HAND)
      let depth = 0
      return InHand.of({
        wrap: (linux, make, give) => {
          const slot = depth
          depth += 1
          try {
            const fd = (slots[slot] = make())
            try {
              return give(fd)
            } catch (error) {
              linux.close(fd)
              throw error
            }
          } finally {
            slots[slot] = 0
            depth -= 1
          }
        }
      })
    })
}
