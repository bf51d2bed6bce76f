/** Batches of encoded resources → a state, item by item, so that whoever applies them may stop in between. */
import { type Item, readDelta } from "../xds/Delta.ts"
import type { MeshState } from "./MeshState.ts"

/** A resource that was not taken, and why. */
export interface Rejection {
  readonly name: string
  readonly reason: string
}

/**
 * Stages all of `batches` in order; to be committed by the caller. Each step is one resource or removal, and yields why it
 * was not taken; the others are.
 */
export function* stageBatches(
  state: MeshState,
  batches: ReadonlyArray<Uint8Array>
): Generator<Rejection | undefined, void> {
  for (const batch of batches) {
    let typeUrl = ""
    for (const item of readDelta(batch)) {
      if (item._tag === "TypeUrl") typeUrl = item.typeUrl
      yield stageItem(state, typeUrl, batch, item)
    }
  }
}

const stageItem = (state: MeshState, typeUrl: string, batch: Uint8Array, item: Item): Rejection | undefined => {
  switch (item._tag) {
    case "TypeUrl":
      return undefined
    case "Resource": {
      const rejected = state.stage(typeUrl, item.name, batch, item.start, item.end)
      return rejected && { name: item.name, reason: rejected.reason }
    }
    case "Removed":
      return void state.remove(typeUrl, item.name)
    case "Bad":
      return { name: item.name, reason: item.reason }
  }
}
