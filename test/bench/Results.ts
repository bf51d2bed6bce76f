/** What the rounds gave, one row for each case and subject, in the order in which they first came. */
import type { Sample } from "./cases/Case.ts"
import { spread } from "./measure.ts"

/** One line of the table, one entry of `--json`. */
export interface Row {
  readonly case: string
  readonly subject: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
}

export class Results {
  readonly #values = new Map<
    string,
    { readonly row: Omit<Row, "median" | "min" | "max">; readonly values: Array<number> }
  >()

  add(subject: string, samples: ReadonlyArray<Sample>): void {
    for (const { case: name, role, unit, value } of samples) {
      const row = { case: name, subject: role === undefined ? subject : `${subject} / ${role}`, unit }
      const key = JSON.stringify(row)
      const known = this.#values.get(key)
      if (known === undefined) this.#values.set(key, { row, values: [value] })
      else known.values.push(value)
    }
  }

  rows(): ReadonlyArray<Row> {
    return Array.from(this.#values.values(), ({ row, values }) => ({ ...row, ...spread(values) }))
  }
}
