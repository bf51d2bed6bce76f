/** Random numbers that a test can have again: from a seed (mulberry32). */
export interface Seeded {
  /** A whole number from 0 to `below - 1`. */
  readonly whole: (below: number) => number
  readonly pick: <A>(values: ReadonlyArray<A>) => A
}

export const seeded = (seed: number): Seeded => {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (below: number) => Math.floor(next() * below)
  return { whole, pick: (values) => values[whole(values.length)]! }
}
