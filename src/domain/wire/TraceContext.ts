/**
 * The `traceparent` header (W3C Trace Context §3.2; reference datapath §3.4). What a peer sends is untrusted: anything
 * malformed is no context at all, and never an exception.
 */
import * as Hex from "effect/encoding/Hex"

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

/** A new context, not sampled, from `TRACE_CONTEXT_BYTES` random octets. Throws a RangeError if there are fewer. */
export const makeTraceContext = (random: Uint8Array): TraceContext => {
  if (random.length < TRACE_CONTEXT_BYTES)
    throw new RangeError(`a trace context takes ${TRACE_CONTEXT_BYTES} random octets, got ${random.length}`)
  return { traceId: idOf(random.subarray(0, 16)), spanId: idOf(random.subarray(16, TRACE_CONTEXT_BYTES)), flags: 0 }
}

export const TRACE_CONTEXT_BYTES = 24

/** All zero means "no id" on the wire, and a seeded source may well give it. */
const idOf = (octets: Uint8Array): string => Hex.encode(octets).replace(/^0+$/, (zeros) => `${zeros.slice(1)}1`)

const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/
