/**
 * Resources of one kind by key. Kept are the place of their bytes and the few facts that indexes need; a resource is
 * decoded when it is asked for, and the same object for as long as it is in use and unchanged. Who holds bytes holds the
 * whole chunk that they came in, so nothing that was replaced may go on holding them.
 */
import { Generations } from "./Generations.ts"
import { type Committed, Versioned } from "./Versioned.ts"

/** Where the bytes of one resource are. */
export interface Encoded {
  readonly chunk: Uint8Array
  readonly start: number
  readonly end: number
}

interface Entry<F> {
  readonly facts: F
  chunk: Uint8Array
  start: number
  end: number
}

/** What will be published of one resource. */
export interface Staged<R, F> {
  readonly facts: F
  readonly resource: R
}

export class EncodedTable<R extends object, F> implements Committed {
  readonly #entries = new Versioned<Entry<F>>()
  readonly #decode: (bytes: Uint8Array, facts: F) => R
  readonly #decoded = new Generations<Entry<F>, R>(DECODED)
  /** What the batch replaces, and what the last one has. */
  #replaced: Array<Entry<F>> = []
  #retired: Array<Entry<F>> = []
  #size = 0
  #sizeStaged = 0

  /** `decode` is only given what it has understood before. */
  constructor(decode: (bytes: Uint8Array, facts: F) => R) {
    this.#decode = decode
  }

  /** How many are published. */
  get size(): number {
    return this.#size
  }

  get(key: string): R | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    const known = this.#decoded.get(entry)
    if (known !== undefined) return known
    const resource = this.#decode(bytesOf(entry), entry.facts)
    this.#decoded.set(entry, resource)
    return resource
  }

  facts(key: string): F | undefined {
    return this.#entries.get(key)?.facts
  }

  /** Not taken as a sign of use. */
  staged(key: string): Staged<R, F> | undefined {
    const entry = this.#entries.staged(key)
    if (entry === undefined) return undefined
    return { facts: entry.facts, resource: this.#decoded.get(entry) ?? this.#decode(bytesOf(entry), entry.facts) }
  }

  /** True: the very same bytes were there already, and nothing else has changed. The earlier chunk is let go. */
  move(key: string, to: Encoded): boolean {
    const entry = this.#entries.staged(key)
    if (entry === undefined || !sameBytes(entry, to)) return false
    entry.chunk = to.chunk
    entry.start = to.start
    entry.end = to.end
    return true
  }

  put(key: string, facts: F, { chunk, end, start }: Encoded): void {
    const before = this.#entries.staged(key)
    if (before === undefined) this.#sizeStaged += 1
    else this.#replaced.push(before)
    this.#entries.set(key, { facts, chunk, start, end })
  }

  delete(key: string): void {
    const before = this.#entries.staged(key)
    if (before === undefined) return
    this.#sizeStaged -= 1
    this.#replaced.push(before)
    this.#entries.delete(key)
  }

  *entries(): IterableIterator<[string, Encoded]> {
    yield* this.#entries.entries()
  }

  commit(): void {
    this.merge(() => true)
    this.#entries.commit()
    this.#retired = this.#replaced
    this.#replaced = []
    this.#size = this.#sizeStaged
  }

  merge(more: () => boolean): boolean {
    if (!this.#entries.merge(more)) return false
    while (this.#retired.length > 0) {
      if (!more()) return false
      this.#decoded.delete(this.#retired.pop()!)
    }
    return true
  }
}

/** Of the ways to hold bytes a view is the heaviest, so it is made only for as long as it takes to decode them. */
const bytesOf = ({ chunk, end, start }: Encoded): Uint8Array => chunk.subarray(start, end)

const sameBytes = (a: Encoded, b: Encoded): boolean => {
  const length = a.end - a.start
  if (length !== b.end - b.start) return false
  for (let index = 0; index < length; index += 1) {
    if (a.chunk[a.start + index] !== b.chunk[b.start + index]) return false
  }
  return true
}

/** How many decoded resources are kept: at most twice as many. */
const DECODED = 1_024
