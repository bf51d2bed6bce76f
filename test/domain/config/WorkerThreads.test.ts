import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { parseCpuQuantity, workerThreads, type WorkerThreadInputs } from "../../../src/domain/config/WorkerThreads.ts"

const LIMIT = (text: string): WorkerThreadInputs => ({ ZTUNNEL_RESOURCE_CPU_LIMIT: text })

describe("workerThreads", () => {
  const cases: ReadonlyArray<
    readonly [what: string, given: WorkerThreadInputs, concurrency: number | undefined, osCpus: number, threads: number]
  > = [
    ["limit 16", LIMIT("16"), undefined, 4, 16],
    ["limit 1, below the usual minimum", LIMIT("1"), undefined, 4, 1],
    ["limit 500m", LIMIT("500m"), undefined, 4, 1],
    ["limit 2500m", LIMIT("2500m"), undefined, 4, 3],
    ["limit 1.5", LIMIT("1.5"), undefined, 4, 2],
    ["CPU limit 32 only: a quarter", { ZTUNNEL_CPU_LIMIT: "32" }, undefined, 4, 8],
    ["the resource limit wins over the CPU limit", { ...LIMIT("3"), ZTUNNEL_CPU_LIMIT: "32" }, undefined, 4, 3],
    ["nothing given, small node", {}, undefined, 2, 2],
    ["nothing given, 1 CPU", {}, undefined, 1, 2],
    ["nothing given, 9 CPUs: rounded up", {}, undefined, 9, 3],
    ["request 8 on a small node", { ZTUNNEL_RESOURCE_CPU_REQUEST: "8" }, undefined, 2, 8],
    ["request above the limit", { ...LIMIT("4"), ZTUNNEL_RESOURCE_CPU_REQUEST: "8" }, undefined, 2, 8],
    ["50 % of 8", { ZTUNNEL_WORKER_THREADS: "50%", ZTUNNEL_CPU_LIMIT: "8" }, undefined, 2, 4],
    ["30 % of 16, rounded up", { ZTUNNEL_WORKER_THREADS: "30%", ZTUNNEL_CPU_LIMIT: "16" }, undefined, 2, 5],
    ["10 % of 4, at least one", { ZTUNNEL_WORKER_THREADS: "10%", ZTUNNEL_CPU_LIMIT: "4" }, undefined, 2, 1],
    ["100 % of the OS's", { ZTUNNEL_WORKER_THREADS: "100%" }, undefined, 6, 6],
    ["0: all of the limit", { ZTUNNEL_WORKER_THREADS: "0", ZTUNNEL_CPU_LIMIT: "6" }, undefined, 2, 6],
    ["a number", { ZTUNNEL_WORKER_THREADS: "12" }, undefined, 2, 12],
    ["the variable wins over concurrency", { ZTUNNEL_WORKER_THREADS: "3" }, 9, 2, 3],
    ["the variable wins over the limit", { ...LIMIT("16"), ZTUNNEL_WORKER_THREADS: "3" }, undefined, 2, 3],
    ["concurrency wins over the limit", LIMIT("16"), 5, 2, 5],
    ["concurrency 0: all of the limit", { ZTUNNEL_CPU_LIMIT: "6" }, 0, 2, 6],
    ["never none", { ZTUNNEL_WORKER_THREADS: "0", ZTUNNEL_CPU_LIMIT: "0" }, undefined, 2, 1]
  ]
  it.each(cases)("%s", (_what, given, concurrency, osCpus, threads) => {
    assert.strictEqual(Result.getOrUndefined(workerThreads(given, concurrency, osCpus)), threads)
  })

  it.each([
    ["ZTUNNEL_WORKER_THREADS", "many", "invalid number"],
    ["ZTUNNEL_WORKER_THREADS", "-1", "invalid number"],
    ["ZTUNNEL_WORKER_THREADS", "1.5", "invalid number"],
    ["ZTUNNEL_WORKER_THREADS", "x%", "invalid percentage"],
    ["ZTUNNEL_WORKER_THREADS", "%", "invalid percentage"],
    ["ZTUNNEL_WORKER_THREADS", "0%", "percentage must be between 0 and 100"],
    ["ZTUNNEL_WORKER_THREADS", "101%", "percentage must be between 0 and 100"],
    ["ZTUNNEL_CPU_LIMIT", "1.5", "invalid number"],
    ["ZTUNNEL_RESOURCE_CPU_LIMIT", "0", "must be a positive CPU quantity"],
    ["ZTUNNEL_RESOURCE_CPU_REQUEST", "some", "must be a positive CPU quantity"]
  ])("%s=%s is refused", (name, text, problem) => {
    const refused = Result.flip(workerThreads({ [name]: text }, undefined, 4))
    assert.include(
      Result.getOrThrow(refused).message,
      `${name}=${/^[\w.%-]+$/.test(text) ? text : `"${text}"`}: ${problem}`
    )
  })

  it("a malformed limit is refused even where the number of threads is given, and everything is said at once", () => {
    const refused = workerThreads(
      { ZTUNNEL_WORKER_THREADS: "x", ZTUNNEL_CPU_LIMIT: "y", ZTUNNEL_RESOURCE_CPU_LIMIT: "z" },
      3,
      4
    )
    assert.lengthOf(Result.getOrThrow(Result.flip(refused)).issues, 3)
    assert.isTrue(Result.isFailure(workerThreads({ ZTUNNEL_WORKER_THREADS: "4", ...LIMIT("z") }, undefined, 4)))
  })
})

describe("parseCpuQuantity", () => {
  const cpus = (text: string) => Result.getOrUndefined(parseCpuQuantity(text))
  const positive = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })))

  it.prop("thousandths, decimals and whole CPUs agree, and are rounded up", [positive], ([thousandths]) => {
    const up = Math.ceil(thousandths / 1000)
    assert.strictEqual(cpus(`${thousandths}m`), up)
    assert.strictEqual(cpus(`${Math.floor(thousandths / 1000)}.${String(thousandths % 1000).padStart(3, "0")}`), up)
    assert.strictEqual(cpus(String(up)), up)
  })

  it.prop("any text is a positive whole number or an error", [Arbitrary.schema(Schema.String)], ([text]) => {
    const value = cpus(text)
    assert.isTrue(value === undefined || (Number.isInteger(value) && value > 0))
  })

  it.each(["", "0", "0m", "0.0", "-1", "+1", "1e3", "inf", "NaN", ".5", "1.", "1.5m", "1 m", "1k", "9".repeat(400)])(
    "%j is refused",
    (text) => {
      assert.isUndefined(cpus(text))
    }
  )
})
