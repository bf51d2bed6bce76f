/** What the parts of `decisions` answer: lines of the table. */
export interface Measured {
  readonly case: string
  readonly subject: string
  readonly unit: string
  readonly value: number
}

export const grouped = (count: number): string => String(count).replaceAll(/\B(?=(\d{3})+$)/g, " ")
