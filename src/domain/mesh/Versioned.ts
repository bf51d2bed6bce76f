/**
 * A map of which a batch of changes becomes visible at once, although no step of it takes long. Changes are staged where
 * lookups do not see them; `commit` publishes all of them by exchanging references; `merge` then carries them over into
 * the base, some at a time, which no lookup can tell. Values are never changed once published, only replaced; those that
 * were set in the batch that is being staged are still the stager's.
 */
import { PartedMap } from "./PartedMap.ts"

/** What a batch is committed to. */
export interface Committed {
  commit(): void
  /** Goes on while `more` says so; true: nothing is left to do. */
  merge(more: () => boolean): boolean
}

export class Versioned<V extends object> implements Committed {
  #base = new PartedMap<V | typeof REMOVED>()
  /** Published and not all in the base yet. */
  #overlay = new PartedMap<V | typeof REMOVED>()
  #merging: IterableIterator<[string, V | typeof REMOVED]> | undefined
  #pending = new PartedMap<V | typeof REMOVED>()

  /** What is published. */
  get(key: string): V | undefined {
    const value = this.#overlay.get(key) ?? this.#base.get(key)
    return value === REMOVED ? undefined : value
  }

  /** What will be published. */
  staged(key: string): V | undefined {
    const value = this.#pending.get(key)
    return value === undefined ? this.get(key) : value === REMOVED ? undefined : value
  }

  /** What will be published, if it is of the batch that is being staged: nobody else has seen it. */
  own(key: string): V | undefined {
    const value = this.#pending.get(key)
    return value === REMOVED ? undefined : value
  }

  set(key: string, value: V): void {
    this.#pending.set(key, value)
  }

  delete(key: string): void {
    if (this.get(key) === undefined) this.#pending.delete(key)
    else this.#pending.set(key, REMOVED)
  }

  commit(): void {
    this.merge(() => true)
    // nothing is removed from what is empty
    if (this.#base.size === 0) this.#base = this.#pending
    else this.#overlay = this.#pending
    this.#pending = new PartedMap()
  }

  merge(more: () => boolean): boolean {
    if (this.#overlay.size === 0) return true
    this.#merging ??= this.#overlay.entries()
    while (more()) {
      const next = this.#merging.next()
      if (next.done === true) {
        this.#merging = undefined
        this.#overlay = new PartedMap()
        return true
      }
      const [key, value] = next.value
      if (value === REMOVED) this.#base.delete(key)
      else this.#base.set(key, value)
    }
    return false
  }

  /** All that are published. To be walked to its end before anything is committed or merged. */
  *entries(): IterableIterator<[string, V]> {
    for (const [key, value] of this.#overlay.entries()) if (value !== REMOVED) yield [key, value]
    for (const [key, value] of this.#base.entries()) {
      if (value !== REMOVED && this.#overlay.get(key) === undefined) yield [key, value]
    }
  }
}

const REMOVED = Symbol("removed")
