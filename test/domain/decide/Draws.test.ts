import { assert, describe, it } from "@effect/vitest"
import { makeDraws } from "../../../src/domain/decide/Draws.ts"
import { seeded } from "../../support/Seeded.ts"

const COUNT = 10_000

/** By what sets of connections may be numbered; every one has to be as good as chance. */
const SEEDS: ReadonlyArray<readonly [string, (index: number) => number]> = [
  ["the smallest numbers there are", (index) => index * 2 ** -53],
  ["even steps", (index) => index / COUNT],
  ["steps of the upper word", (index) => index * 2 ** -21],
  ["numbers next to one", (index) => 1 - (index + 1) * 2 ** -53],
  [
    "random numbers",
    (() => {
      const { whole } = seeded(1)
      const numbers = Array.from({ length: COUNT }, () => (whole(2 ** 26) * 2 ** 27 + whole(2 ** 27)) / 2 ** 53)
      return (index: number) => numbers[index]!
    })()
  ]
]

/** χ² of how often each of `cells` came. */
const chiSquare = (cells: number, values: ReadonlyArray<number>): number => {
  const counts = Array.from({ length: cells }, () => 0)
  for (const value of values) counts[value]! += 1
  const expected = values.length / cells
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
}

/** Of 15 degrees of freedom, exceeded by chance once in a thousand. */
const LIMIT_15 = 37.7

describe("draws", () => {
  it("are the same for the same number, and others for another in its last bit", () => {
    const take = (random: number) => Array.from({ length: 5 }, makeDraws(random))
    assert.deepStrictEqual(take(0.3), take(0.3))
    for (const [a, b] of [
      [0, 2 ** -53],
      [0.5, 0.5 + 2 ** -53]
    ] as const) {
      for (const [index, value] of take(a).entries()) assert.notStrictEqual(value, take(b)[index])
    }
  })

  it("are in [0, 1) and spread evenly", () => {
    for (const random of [0, 0.1, 0.5, 1 - 2 ** -53]) {
      const draw = makeDraws(random)
      const values = Array.from({ length: COUNT }, draw)
      assert.isTrue(values.every((value) => value >= 0 && value < 1))
      assert.isBelow(
        chiSquare(
          16,
          values.map((value) => Math.floor(value * 16))
        ),
        LIMIT_15
      )
      // and so are the last bits
      assert.isBelow(
        chiSquare(
          16,
          values.map((value) => (value * 2 ** 53) % 16)
        ),
        LIMIT_15
      )
    }
  })

  for (const [name, seed] of SEEDS) {
    const pairs = Array.from({ length: COUNT }, (_, index) => {
      const draw = makeDraws(seed(index))
      return [draw(), draw()] as const
    })

    it(`begin fairly for ${name}`, () => {
      const quarter = pairs.filter(([first]) => first < 0.25).length
      assert.closeTo(quarter, COUNT / 4, 3 * Math.sqrt((COUNT * 3) / 16))
      assert.isBelow(
        chiSquare(
          16,
          pairs.map(([first]) => Math.floor(first * 16))
        ),
        LIMIT_15
      )
    })

    it(`go on independently of how they began for ${name}`, () => {
      const cells = pairs.map(([first, second]) => Math.floor(first * 4) * 4 + Math.floor(second * 4))
      assert.isBelow(chiSquare(16, cells), LIMIT_15)
    })
  }
})
