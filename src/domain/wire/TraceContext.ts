/**
 * The `traceparent` header (W3C Trace Context §3.2; reference datapath §3.4). What a peer sends is untrusted: anything
 * malformed is no context at all, and never an exception.
 */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string
  /** 0 to 255; bit 0 says sampled. */
  readonly flags: number
}

/** `00-<32 hex>-<16 hex>-<2 hex>`; a later version may go on after a further dash. */
export const parseTraceparent = (text: string): TraceContext | undefined => {
  const [, version, traceId, spanId, flags, rest] = TRACEPARENT.exec(text) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (version === "00" && rest !== undefined) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) }
}

export const formatTraceparent = ({ flags, spanId, traceId }: TraceContext): string =>
  `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, "0")}`

/** A new context, not sampled. `random` gives numbers in [0, 1). */
export const makeTraceContext = (random: () => number): TraceContext => ({
  traceId: idOf(random, 4),
  spanId: idOf(random, 2),
  flags: 0
})

/** `words` × 8 digits. All zero means "no id" on the wire, and a seeded source may well give it. */
const idOf = (random: () => number, words: number): string => {
  let id = ""
  for (let word = 0; word < words; word++)
    id += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0")
  return /^0+$/.test(id) ? `${id.slice(1)}1` : id
}

const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/
