/**
 * DER values that stand one after the other without anything between them, as SPIFFE's APIs hand out certificates
 * (X.690 §8.1). Only where each begins and ends is looked at; what is inside is for a parser of certificates.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

export class DerError extends Data.TaggedError("DerError")<{
  readonly offset: number
  readonly detail: string
}> {
  override get message() {
    return `not DER at byte ${this.offset}: ${this.detail}`
  }
}

/** Views of `bytes`, one for each SEQUENCE. */
export const splitSequences = (bytes: Uint8Array): Result.Result<ReadonlyArray<Uint8Array>, DerError> => {
  const values: Array<Uint8Array> = []
  let offset = 0
  while (offset < bytes.length) {
    const end = endOfSequence(bytes, offset)
    if (Result.isFailure(end)) return Result.fail(end.failure)
    values.push(bytes.subarray(offset, end.success))
    offset = end.success
  }
  return Result.succeed(values)
}

/** Where the SEQUENCE that begins at `offset` ends. */
const endOfSequence = (bytes: Uint8Array, offset: number): Result.Result<number, DerError> => {
  const refuse = (detail: string) => Result.fail(new DerError({ offset, detail }))
  const [tag, first] = [bytes[offset], bytes[offset + 1]]
  if (tag !== SEQUENCE) return refuse("no SEQUENCE begins here")
  if (first === undefined) return refuse("it ends within a length")
  const long = first < 0x80 ? 0 : first & 0x7f
  if (first === 0x80) return refuse("a length that is not definite")
  if (long > MOST_LENGTH_OCTETS) return refuse(`a length of ${long} octets`)
  const start = offset + 2 + long
  if (start > bytes.length) return refuse("it ends within a length")
  let length = long === 0 ? first : 0
  // not by shifts: they would make a length of four octets negative
  for (const octet of bytes.subarray(offset + 2, start)) length = length * 256 + octet
  if (start + length > bytes.length) return refuse(`${length} bytes are announced, ${bytes.length - start} are there`)
  return Result.succeed(start + length)
}

const SEQUENCE = 0x30
const MOST_LENGTH_OCTETS = 4
