/** The ratios and figures that the project holds itself to, all with one shard. Shown, never enforced. */
import type { Row } from "./Results.ts"
import { WEFT_HBONE, WEFT_PASSTHROUGH } from "./subjects/names.ts"

interface Target {
  readonly case: string
  readonly subject: string
  /** Held against this subject of the same case, or this case of the same subject; a plain figure without. */
  readonly against?: { readonly subject?: string; readonly case?: string }
  readonly atLeast?: number
  readonly atMost?: number
}

const TARGETS: ReadonlyArray<Target> = [
  { case: "throughput", subject: WEFT_PASSTHROUGH, against: { subject: "haproxy" }, atLeast: 1.2 },
  { case: "throughput", subject: WEFT_PASSTHROUGH, against: { subject: "nginx stream" }, atLeast: 0.85 },
  { case: "throughput: processor", subject: WEFT_PASSTHROUGH, against: { subject: "haproxy" }, atMost: 0.7 },
  { case: "requests", subject: WEFT_PASSTHROUGH, against: { subject: "haproxy" }, atLeast: 0.85 },
  { case: "throughput: processor", subject: WEFT_HBONE, against: { subject: "h2-pair" }, atMost: 1.1 },
  { case: "connections: processor", subject: WEFT_HBONE, against: { subject: "h2-pair" }, atMost: 1.15 },
  { case: "memory", subject: WEFT_PASSTHROUGH, atMost: 18 },
  { case: "memory", subject: `${WEFT_HBONE} / source`, atMost: 30 },
  { case: "memory", subject: `${WEFT_HBONE} / destination`, atMost: 30 },
  ...[WEFT_PASSTHROUGH, WEFT_HBONE].map((subject) => ({
    case: "p99, main stopped",
    subject,
    against: { case: "p99, main idle" },
    atMost: 1.3
  }))
]

export interface Judged {
  readonly what: string
  readonly target: string
  readonly measured: number
  readonly met: boolean
}

/** The targets of which both sides were measured. */
export const judge = (rows: ReadonlyArray<Row>): ReadonlyArray<Judged> =>
  TARGETS.flatMap((target) => {
    const find = (name: string, subject: string) =>
      rows.find((row) => row.case === name && row.subject === subject)?.median
    const { against } = target
    const own = find(target.case, target.subject)
    const other = against === undefined ? 1 : find(against.case ?? target.case, against.subject ?? target.subject)
    if (own === undefined || other === undefined) return []
    const measured = own / other
    const opponent = against === undefined ? "" : ` / ${against.subject ?? against.case}`
    return {
      what: `${target.case}: ${target.subject}${opponent}`,
      target: target.atLeast === undefined ? `<= ${target.atMost}` : `>= ${target.atLeast}`,
      measured,
      met: measured >= (target.atLeast ?? -Infinity) && measured <= (target.atMost ?? Infinity)
    }
  })
