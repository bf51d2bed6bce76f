/**
 * Durations as ztunnel reads them (reference ops §2.1): terms `<n><unit>` that are either all added (`1m+30`, `1m30s`)
 * or all multiplied in seconds (`1m*10`, ten minutes). A term without a unit is seconds.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

export class DurationError extends Data.TaggedError("DurationError")<{ readonly given: string }> {
  override get message() {
    return "not a duration: write 10s, 500ms, 5m, 1h30m, 1m+30 or 1m*10; units are y, mon, w, d, h, m, s, ms, us and ns"
  }
}

/** Milliseconds; a fraction of one is kept. */
export const parseDuration = (text: string): Result.Result<number, DurationError> => {
  const terms = termsOf(text)
  const operators = new Set(terms?.slice(1).map(({ operator }) => operator))
  if (terms === undefined || operators.size > 1) return Result.fail(new DurationError({ given: text }))
  const nanos = terms.map((term) => term.nanos)
  const total = operators.has("*")
    ? nanos.reduce((product, term) => (product * term) / SECOND)
    : nanos.reduce((sum, term) => sum + term)
  // ztunnel counts in an unsigned 64-bit number of nanoseconds
  return total > MAX_NANOS
    ? Result.fail(new DurationError({ given: text }))
    : Result.succeed(Number(total) / NANOS_PER_MILLI)
}

interface Term {
  readonly operator: string
  readonly nanos: bigint
}

/** At least one; `undefined` where the text is anything else. Terms that only stand side by side are added. */
const termsOf = (text: string): ReadonlyArray<Term> | undefined => {
  const terms: Array<Term> = []
  for (let at = 0; at < text.length;) {
    TERM.lastIndex = at
    const [whole, operator, count, unit = "s"] = TERM.exec(text) ?? []
    if (whole === undefined || count === undefined || (operator !== "" && terms.length === 0)) return undefined
    // the expression holds only units of the table
    terms.push({ operator: operator || "+", nanos: BigInt(count) * UNITS[unit]! })
    at += whole.length
  }
  return terms.length === 0 ? undefined : terms
}

const SECOND = 1_000_000_000n
const NANOS_PER_MILLI = 1_000_000
const MAX_NANOS = 2n ** 64n - 1n

const UNITS: Readonly<Record<string, bigint>> = {
  y: 365n * 86_400n * SECOND,
  mon: 30n * 86_400n * SECOND,
  w: 7n * 86_400n * SECOND,
  d: 86_400n * SECOND,
  h: 3_600n * SECOND,
  hr: 3_600n * SECOND,
  m: 60n * SECOND,
  min: 60n * SECOND,
  s: SECOND,
  ms: 1_000_000n,
  us: 1_000n,
  // the micro sign and the Greek letter, which look alike
  "\u00b5s": 1_000n,
  "\u03bcs": 1_000n,
  ns: 1n
}

// the longest unit first, so that `mon` is not `m` and then a stray `on`; twenty digits hold any 64-bit number
const BY_LENGTH = Object.keys(UNITS).toSorted((a, b) => b.length - a.length)
const TERM = new RegExp(`\\s*([+*]?)\\s*(\\d{1,20})(?!\\d)\\s*(${BY_LENGTH.join("|")})?\\s*`, "y")
