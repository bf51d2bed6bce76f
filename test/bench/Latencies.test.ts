import { describe, expect, it } from "vitest"
import { Latencies } from "./load/Latencies.ts"
import { spread } from "./measure.ts"

describe("the bench's arithmetic", () => {
  it("a percentile is the value at its rank: to the microsecond, from 100 ms up to the millisecond", () => {
    const latencies = new Latencies()
    const added = Array.from({ length: 1000 }, (_, index) => ((index * 7919) % 1000) / 2 + 0.0001)
    for (const ms of added) latencies.add(ms)
    expect(latencies.count).toBe(1000)
    expect(latencies.percentileUs(0.1)).toBe(49_500)
    expect(latencies.percentileUs(0.5)).toBe(249_000)
    expect(latencies.percentileUs(0.99)).toBe(494_000)
    expect(latencies.percentileUs(1)).toBe(499_000)
  })

  it("starts from nothing after clear", () => {
    const latencies = new Latencies()
    latencies.add(400)
    latencies.clear()
    latencies.add(0.25)
    expect(latencies.percentileUs(1)).toBe(250)
  })

  it("medians of odd and even numbers of rounds", () => {
    expect(spread([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 })
    expect(spread([10, 3, 1, 2])).toEqual({ median: 2.5, min: 1, max: 10 })
  })
})
