/**
 * From a key to those that have it, best first. Nearly always there is one, which is then all that is kept: an address
 * of each of 100 000 workloads would otherwise cost a list each.
 */
import { type Order, SortedList } from "./SortedList.ts"
import { type Committed, Versioned } from "./Versioned.ts"

export class SortedIndex<E extends object> implements Committed {
  readonly #order: Order<E>
  readonly #table = new Versioned<E | SortedList<E>>()

  constructor(order: Order<E>) {
    this.#order = order
  }

  first(key: string): E | undefined {
    const found = this.#table.get(key)
    return found instanceof SortedList ? found.first : found
  }

  all(key: string): ReadonlyArray<E> {
    const found = this.#table.get(key)
    return found instanceof SortedList ? found.all : found === undefined ? [] : [found]
  }

  put(key: string, element: E): void {
    const staged = this.#table.staged(key)
    const alone = staged === undefined || (!(staged instanceof SortedList) && this.#order(staged, element) === 0)
    if (alone) this.#table.set(key, element)
    else this.#own(key, staged).put(element)
  }

  /** The element, or an earlier form of it that ranks the same. */
  delete(key: string, element: E): void {
    const staged = this.#table.staged(key)
    if (staged instanceof SortedList) {
      const list = this.#own(key, staged)
      list.delete(element)
      if (list.first === undefined) this.#table.delete(key)
    } else if (staged !== undefined && this.#order(staged, element) === 0) this.#table.delete(key)
  }

  commit(): void {
    this.#table.commit()
  }

  merge(more: () => boolean): boolean {
    return this.#table.merge(more)
  }

  /** A list of this batch: copied once, however many changes there are. */
  #own(key: string, staged: E | SortedList<E>): SortedList<E> {
    if (staged instanceof SortedList && staged === this.#table.own(key)) return staged
    const list = staged instanceof SortedList ? staged.copy() : new SortedList(this.#order, [staged])
    this.#table.set(key, list)
    return list
  }
}
