/** Why a resource is not taken: the text that the control plane is told, after the resource's name (reference state §1.5). */
import * as Data from "effect/Data"

export class Rejected extends Data.TaggedError("Rejected")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

/** For use inside `rejectable` only. */
export const reject = (reason: string): never => {
  throw new Rejected({ reason })
}
