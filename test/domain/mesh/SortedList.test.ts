import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { SortedList } from "../../../src/domain/mesh/SortedList.ts"
import { integer } from "../../support/hostileInput.ts"

interface Item {
  readonly key: number
  readonly form: string
}

const item = (key: number, form = ""): Item => ({ key, form })
const byKey = (a: Item, b: Item) => a.key - b.key
const inOrder = (keys: Iterable<number>) => [...new Set(keys)].sort((a, b) => a - b)
const keysOf = (list: SortedList<Item>) => list.all.map(({ key }) => key)

describe("a sorted list", () => {
  it.prop(
    "of thousands that come and go is the sorted set of those that stayed",
    [Arbitrary.all([integer(1, 997), integer(1, 3_000), integer(1, 7)])],
    ([[stride, count, every]]) => {
      const list = new SortedList(byKey)
      const keys = Array.from({ length: count }, (_, index) => (index * stride) % 2_003)
      for (const key of keys) list.put(item(key))
      const gone = new Set(keys.filter((_, index) => index % every === 0))
      for (const key of gone) list.delete(item(key))
      const stayed = inOrder(keys).filter((key) => !gone.has(key))
      assert.deepStrictEqual(keysOf(list), stayed)
      assert.strictEqual(list.first?.key, stayed[0])
      for (const key of keys.slice(0, 50)) {
        assert.strictEqual(list.find((other) => other.key - key) !== undefined, !gone.has(key), `${key}`)
      }
      for (const key of gone) list.put(item(key))
      assert.deepStrictEqual(keysOf(list), inOrder(keys))
    },
    { arbitrary: { runs: 40, size: 3_000 } }
  )

  it("holds the later form of an element", () => {
    const list = new SortedList(byKey, [item(1, "earlier")])
    list.put(item(1, "later"))
    assert.deepStrictEqual(list.all, [item(1, "later")])
  })

  it("is not changed by what is done to its copy", () => {
    const list = new SortedList(byKey)
    for (let key = 0; key < 1_500; key += 1) list.put(item(key))
    const copy = list.copy()
    for (let key = 0; key < 1_500; key += 2) copy.delete(item(key))
    copy.put(item(1, "changed"))
    assert.lengthOf(list.all, 1_500)
    assert.deepStrictEqual(list.all[1], item(1))
    assert.lengthOf(copy.all, 750)
  })
})
