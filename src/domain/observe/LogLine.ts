/** One log event as one line, in ztunnel's two layouts (reference ops §5.2, §5.3). */
import type { LogLevel } from "../config/LogFilter.ts"

/** Text is quoted in the plain layout; `bare` is not: addresses. Numbers stay numbers in JSON. */
export type FieldValue = string | number | { readonly bare: string }

export interface LogEvent {
  /** Epoch milliseconds, with fractions. */
  readonly time: number
  readonly level: LogLevel
  readonly target: string
  readonly message: string
  readonly fields: ReadonlyArray<readonly [key: string, value: FieldValue]>
}

export type LogFormat = "plain" | "json"

/** A whole line, newline included. */
export const formatLine = (format: LogFormat, event: LogEvent): string =>
  format === "json" ? json(event) : plain(event)

const plain = ({ fields, level, message, target, time }: LogEvent): string =>
  `${timestamp(time)}\t${level}\t${target}\t${escaped(message)}\t${fields.map(([key, value]) => `${key}=${plainValue(value)}`).join(" ")}\n`

const plainValue = (value: FieldValue): string => {
  if (typeof value === "number") return String(value)
  return typeof value === "string" ? harmless(JSON.stringify(value)) : escaped(value.bare)
}

const json = ({ fields, level, message, target, time }: LogEvent): string =>
  `${harmless(
    JSON.stringify({
      level,
      time: timestamp(time),
      scope: target,
      message,
      ...Object.fromEntries(fields.map(([key, value]) => [key, typeof value === "object" ? value.bare : value]))
    })
  )}\n`

/** RFC 3339 in UTC with six digits. */
const timestamp = (time: number): string => {
  const whole = Math.floor(time)
  const micros = Math.floor((time - whole) * 1000)
  return `${new Date(whole).toISOString().slice(0, -1)}${String(micros).padStart(3, "0")}Z`
}

/** A line is a line whatever a peer put into it. */
const escaped = (text: string): string =>
  harmless(
    // the control characters are what this looks for
    // oxlint-disable-next-line no-control-regex
    text.replace(/[\u0000-\u001f]/g, (character) => JSON.stringify(character).slice(1, -1))
  )

/** JSON leaves DEL and the C1 controls as they are; terminals obey them. */
const harmless = (text: string): string =>
  text.replace(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`)
