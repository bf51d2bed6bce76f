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

/**
 * A whole line, newline included, of at most `MAX_LINE_BYTES`: that much a pipe takes at once, so lines of two threads never
 * mix. Peers choose some of the values, so long ones are cut.
 */
export const formatLine = (format: LogFormat, event: LogEvent): string => {
  const write = format === "json" ? json : plain
  const line = write(event)
  if (fits(line)) return line
  const shorter = write(clipped(event, LONG_VALUE))
  return fits(shorter) ? shorter : write(clipped(event, SHORT_VALUE))
}

const fits = (line: string): boolean =>
  line.length * UTF8_WORST <= MAX_LINE_BYTES || (line.length <= MAX_LINE_BYTES && byteLength(line) <= MAX_LINE_BYTES)

const clipped = (event: LogEvent, most: number): LogEvent => ({
  ...event,
  message: clip(event.message, most * 4),
  fields: event.fields.map(([key, value]) => {
    if (typeof value === "number") return [key, value]
    const text = clip(textOf(value), most)
    return [key, typeof value === "string" ? text : { bare: text }]
  })
})

const textOf = (value: Exclude<FieldValue, number>): string => (typeof value === "string" ? value : value.bare)

const clip = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text)

const byteLength = (text: string): number => {
  let bytes = 0
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
  }
  return bytes
}

const MAX_LINE_BYTES = 4096
/** Bytes that one UTF-16 unit may take in UTF-8. */
const UTF8_WORST = 3
const LONG_VALUE = 600
/** Sixteen fields of this length, escaped in the worst way, still fit. */
const SHORT_VALUE = 40

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
