/**
 * How many shards there are (reference ops §1.3). `ZTUNNEL_WORKER_THREADS` wins over the proxy config's `concurrency`,
 * which wins over what the CPU limit and request of the container make sensible.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { ConfigErrors, type ConfigIssue } from "./ConfigErrors.ts"

/** The texts as in the environment; `undefined` where not set. */
export interface WorkerThreadInputs {
  readonly ZTUNNEL_WORKER_THREADS?: string | undefined
  readonly ZTUNNEL_CPU_LIMIT?: string | undefined
  readonly ZTUNNEL_RESOURCE_CPU_LIMIT?: string | undefined
  readonly ZTUNNEL_RESOURCE_CPU_REQUEST?: string | undefined
}

export class QuantityError extends Data.TaggedError("QuantityError")<{ readonly given: string }> {
  override get message() {
    return "must be a positive CPU quantity: whole CPUs, a decimal fraction or thousandths, such as 2, 1.5 or 500m"
  }
}

/** At least 1. `osCpus` is what the operating system lets this process use. Malformed texts fail even if overridden. */
export const workerThreads = (
  given: WorkerThreadInputs,
  concurrency: number | undefined,
  osCpus: number
): Result.Result<number, ConfigErrors> => {
  const issues: Array<ConfigIssue> = []
  const read = (
    name: keyof WorkerThreadInputs,
    parse: (text: string) => Result.Result<number, { readonly message: string }>
  ): number | undefined => {
    const text = given[name]
    if (text === undefined) return undefined
    const parsed = parse(text)
    if (Result.isSuccess(parsed)) return parsed.success
    issues.push({ name, given: text, problem: parsed.failure.message })
    return undefined
  }
  const resourceLimit = read("ZTUNNEL_RESOURCE_CPU_LIMIT", parseCpuQuantity)
  const limit = read("ZTUNNEL_CPU_LIMIT", parseWhole)
  const request = read("ZTUNNEL_RESOURCE_CPU_REQUEST", parseCpuQuantity) ?? 0
  const cpus = resourceLimit ?? limit ?? osCpus
  const fixed = read("ZTUNNEL_WORKER_THREADS", (text) => parseThreads(text, cpus))
  if (issues.length > 0) return Result.fail(new ConfigErrors({ issues }))
  const auto =
    resourceLimit === undefined
      ? Math.max(Math.ceil(cpus * AUTO_SHARE), request, AUTO_MINIMUM)
      : Math.max(resourceLimit, request)
  return Result.succeed(Math.max(fixed ?? (concurrency === 0 ? cpus : concurrency) ?? auto, 1))
}

/** A Kubernetes CPU quantity, rounded up to whole CPUs. */
export const parseCpuQuantity = (text: string): Result.Result<number, QuantityError> => {
  const match = /^(\d+)(?:m|(\.\d+))?$/.exec(text)
  const cpus = match === null ? Number.NaN : text.endsWith("m") ? Number(match[1]) / 1000 : Number(text)
  return Number.isFinite(cpus) && cpus > 0
    ? Result.succeed(Math.ceil(cpus))
    : Result.fail(new QuantityError({ given: text }))
}

/** `4`, `0` (as many as there are CPUs), `50%` of the CPUs. */
const parseThreads = (text: string, cpus: number): Result.Result<number, { readonly message: string }> => {
  if (!text.endsWith("%")) return Result.map(parseWhole(text), (count) => (count === 0 ? cpus : count))
  const digits = text.slice(0, -1).trim()
  const percent = /^\d+(?:\.\d+)?$/.test(digits) ? Number(digits) : Number.NaN
  if (Number.isNaN(percent)) {
    return Result.fail({ message: "invalid percentage: write a share of the CPUs such as 50%, or a number of threads" })
  }
  if (percent <= 0 || percent > 100) return Result.fail({ message: "percentage must be between 0 and 100, and not 0" })
  return Result.succeed(Math.max(Math.ceil((cpus * percent) / 100), 1))
}

const parseWhole = (text: string): Result.Result<number, { readonly message: string }> =>
  /^\d{1,9}$/.test(text)
    ? Result.succeed(Number(text))
    : Result.fail({ message: "invalid number: write a whole number such as 4, or 0 for as many as there are CPUs" })

const AUTO_SHARE = 0.25
const AUTO_MINIMUM = 2
