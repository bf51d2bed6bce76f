/** A conduit that takes everything at once and does nothing else. */
import type { Conduit } from "../../src/layers/os/Conduit.ts"

export const sinkConduit = (take: (chunk: Buffer) => void): Conduit => ({
  watch: () => {},
  pump: () => {},
  write: (chunk) => {
    take(chunk)
    return true
  },
  gather: () => {},
  congested: () => false,
  end: () => {},
  reset: () => {},
  finish: () => {},
  destroy: () => {}
})
