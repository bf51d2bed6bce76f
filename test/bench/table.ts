/** The results as text for a terminal: one block for each case, then the targets, then what was left out. */
import type { Row } from "./Results.ts"
import { judge } from "./targets.ts"

export const formatResults = (rows: ReadonlyArray<Row>): string =>
  [...Map.groupBy(rows, (row) => row.case).entries()].map(([name, own]) => formatCase(name, own)).join("\n")

/** Empty when nothing of it was measured. */
export const formatTargets = (rows: ReadonlyArray<Row>): string => {
  const judged = judge(rows)
  if (judged.length === 0) return ""
  return lines([
    ["TARGETS (ratios of medians)", "target", "measured", ""],
    ...judged.map(({ measured, met, target, what }) => [what, target, number(measured), met ? "met" : "NOT MET"])
  ])
}

const formatCase = (name: string, rows: ReadonlyArray<Row>): string => {
  const reference = rows.find((row) => row.subject === REFERENCE)
  return lines([
    [name.toUpperCase(), rows[0]?.unit ?? "", "min", "max", reference === undefined ? "" : `/ ${REFERENCE}`],
    ...rows.map((row) => [
      `  ${row.subject}`,
      number(row.median),
      number(row.min),
      number(row.max),
      reference === undefined ? "" : number(row.median / reference.median)
    ])
  ])
}

const lines = (cells: ReadonlyArray<ReadonlyArray<string>>): string =>
  cells
    .map(([first = "", ...rest]) => first.padEnd(FIRST) + rest.map((cell) => cell.padStart(COLUMN)).join(""))
    .map((line) => `${line.trimEnd()}\n`)
    .join("")

/** Three significant digits, no exponent. */
const number = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))

const REFERENCE = "haproxy"
const FIRST = 54
const COLUMN = 11
