/** What every part of an outbound decision has at hand. */
import type { Mesh } from "../mesh/Mesh.ts"
import type { Trace } from "./Trace.ts"
import type { OutboundRequest } from "./Upstream.ts"

export interface Decision {
  readonly mesh: Mesh
  readonly request: OutboundRequest
  /** The next random number, in [0, 1). */
  readonly draw: () => number
  readonly trace: Trace | undefined
}
