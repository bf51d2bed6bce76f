/** Access lines of a weft process, taken apart. */
import { eventually } from "./eventually.ts"

export interface AccessLine {
  readonly level: string
  readonly message: string
  /** Fields in order; numbers and addresses as they stand, text without its quotes. */
  readonly fields: Readonly<Record<string, string>>
}

interface Logging {
  readonly lines: ReadonlyArray<string>
}

/** Undefined for a line of another kind. */
export const parseAccessLine = (line: string): AccessLine | undefined => {
  const [, level, target, message, rest] = line.split("\t")
  if (level === undefined || target !== "access" || message === undefined || rest === undefined) return undefined
  const pairs = Array.from(rest.matchAll(/([\w.]+)=("(?:[^"\\]|\\.)*"|\S+)/g), ([, key, value]) => [
    key!,
    value!.startsWith('"') ? String(JSON.parse(value!)) : value!
  ])
  return { level, message, fields: Object.fromEntries(pairs) }
}

/** Waits for the first access line of each process that is written from now on, and whose fields are these. */
export const accessLineFrom = (weft: Logging, fields: Readonly<Record<string, string>> = {}) => {
  const start = weft.lines.length
  return () =>
    eventually(
      () =>
        weft.lines
          .slice(start)
          .map(parseAccessLine)
          .find(
            (line) => line !== undefined && Object.entries(fields).every(([key, value]) => line.fields[key] === value)
          ),
      `an access line with ${JSON.stringify(fields)} in\n${weft.lines.slice(start).join("\n")}`
    )
}
