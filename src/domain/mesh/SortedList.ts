/**
 * A list in an order of its own, that is cheap to keep: pieces of at most 512, so that neither an insertion nor a copy
 * costs what a sort would. `order` is 0 for two forms of one element; the later takes the earlier's place.
 */
export type Order<E> = (a: E, b: E) => number

export class SortedList<E> {
  readonly #order: Order<E>
  /** None of them empty. */
  #pieces: Array<Array<E>>
  #all: ReadonlyArray<E> | undefined

  constructor(order: Order<E>, elements: Array<E> = []) {
    this.#order = order
    this.#pieces = elements.length === 0 ? [] : [elements]
  }

  /** Nothing is sorted here: the pieces are. */
  get all(): ReadonlyArray<E> {
    return (this.#all ??= this.#pieces.length === 1 ? this.#pieces[0]! : new Array<E>().concat(...this.#pieces))
  }

  get first(): E | undefined {
    return this.#pieces[0]?.[0]
  }

  /** The element for which `position` is 0; it is below 0 for those before. */
  find(position: (element: E) => number): E | undefined {
    const piece = this.#pieces[this.#pieceAt(position)]
    const element = piece?.[firstIndex(piece.length, (index) => position(piece[index]!) >= 0)]
    return element !== undefined && position(element) === 0 ? element : undefined
  }

  put(element: E): void {
    this.#all = undefined
    const position = (other: E) => this.#order(other, element)
    const at = this.#pieceAt(position)
    const piece = this.#pieces[at]
    if (piece === undefined) {
      this.#pieces = [[element]]
      return
    }
    const index = firstIndex(piece.length, (index) => position(piece[index]!) >= 0)
    piece.splice(index, index < piece.length && position(piece[index]!) === 0 ? 1 : 0, element)
    if (piece.length > PIECE) this.#pieces.splice(at + 1, 0, piece.splice(PIECE / 2))
  }

  delete(element: E): void {
    this.#all = undefined
    const position = (other: E) => this.#order(other, element)
    const at = this.#pieceAt(position)
    const piece = this.#pieces[at]
    const index = piece === undefined ? 0 : firstIndex(piece.length, (index) => position(piece[index]!) >= 0)
    if (piece === undefined || index === piece.length || position(piece[index]!) !== 0) return
    piece.splice(index, 1)
    if (piece.length === 0) this.#pieces.splice(at, 1)
  }

  copy(): SortedList<E> {
    const copy = new SortedList(this.#order)
    copy.#pieces = this.#pieces.map((piece) => piece.slice())
    return copy
  }

  /** The piece that holds the element, or would. */
  #pieceAt(position: (element: E) => number): number {
    const after = firstIndex(this.#pieces.length, (index) => position(this.#pieces[index]![0]!) > 0)
    return Math.max(0, after - 1)
  }
}

/** The lowest index from which on `reached` is true. */
const firstIndex = (length: number, reached: (index: number) => boolean): number => {
  let low = 0
  for (let high = length; low < high;) {
    const middle = (low + high) >>> 1
    if (reached(middle)) high = middle
    else low = middle + 1
  }
  return low
}

export const textOrder = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const PIECE = 512
