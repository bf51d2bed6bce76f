/**
 * Which log lines are written: `RUST_LOG`'s comma list of `level` and `target=level` (reference ops §5.1). A target is
 * a prefix of the line's target, the longest that fits decides; what no target fits has the bare level, `info` if none
 * is given.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

export type LogLevel = "error" | "warn" | "info" | "debug" | "trace"

/** Plain data, so that it can cross threads. `targets` is ordered: longest first. */
export interface LogFilter {
  readonly default: LogLevel | "off"
  readonly targets: ReadonlyArray<{ readonly target: string; readonly level: LogLevel | "off" }>
}

export class LogFilterError extends Data.TaggedError("LogFilterError")<{ readonly clause: string }> {
  override get message() {
    return `${JSON.stringify(this.clause)} is neither a level (off, error, warn, info, debug, trace) nor target=level, such as access=debug`
  }
}

/** A later clause replaces an earlier one of the same target; empty clauses are skipped. */
export const parseLogFilter = (text: string): Result.Result<LogFilter, LogFilterError> => {
  let level: LogLevel | "off" = "info"
  const targets = new Map<string, LogLevel | "off">()
  for (const clause of text.split(",").map((part) => part.trim())) {
    if (clause === "") continue
    const equals = clause.lastIndexOf("=")
    const target = clause.slice(0, Math.max(equals, 0)).trim()
    const given = parseLevel(clause.slice(equals + 1))
    if (given === undefined || (equals >= 0 && target === "")) return Result.fail(new LogFilterError({ clause }))
    if (equals < 0) level = given
    else targets.set(target, given)
  }
  return Result.succeed({
    default: level,
    targets: Array.from(targets, ([target, level]) => ({ target, level })).toSorted(
      (a, b) => b.target.length - a.target.length
    )
  })
}

export const enabled = (filter: LogFilter, target: string, level: LogLevel): boolean => {
  const found = filter.targets.find((entry) => target.startsWith(entry.target))
  return LEVELS.indexOf(level) <= LEVELS.indexOf(found?.level ?? filter.default)
}

const LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const

const parseLevel = (text: string): LogLevel | "off" | undefined => {
  const lower = text.trim().toLowerCase()
  return LEVELS.find((level) => level === lower)
}
