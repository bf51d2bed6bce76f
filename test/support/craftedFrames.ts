/** HTTP/2 by hand, for frames and headers that `node:http2` would not send (RFC 9113 §4.1; RFC 7541 §6.2.2). */

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

export const FRAME = { data: 0, headers: 1, rstStream: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 } as const

export const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array()): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Each field as a literal without indexing; names and values of at most 126 bytes. */
const fields = (list: ReadonlyArray<readonly [string, string]>): Buffer =>
  Buffer.concat(
    list.flatMap(([name, value]) => [
      Buffer.of(0, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value)
    ])
  )

/** HEADERS with END_HEADERS. */
export const headers = (stream: number, list: ReadonlyArray<readonly [string, string]>): Buffer =>
  frame(FRAME.headers, 4, stream, fields(list))

export interface Frame {
  readonly type: number
  readonly stream: number
  readonly payload: Buffer
}

/** The frames that are complete in `bytes`. */
export const parseFrames = (bytes: Buffer): ReadonlyArray<Frame> => {
  const found: Array<Frame> = []
  let at = 0
  while (at + 9 <= bytes.length) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    found.push({ type: bytes[at + 3]!, stream: bytes.readUInt32BE(at + 5), payload: bytes.subarray(at + 9, end) })
    at = end
  }
  return found
}
