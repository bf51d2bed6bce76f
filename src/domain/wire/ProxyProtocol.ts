/**
 * The PROXY protocol, version 2 (haproxy's proxy-protocol.txt §2.2; reference datapath §4.7): a binary header in front of a
 * connection that says where it came from, where it was going, and, in a TLV of Istio's, which workload opened it.
 * Written for applications behind a tunnel; read where we are such an application ourselves, and in tests.
 */
import * as Result from "effect/Result"
import { type Ip, ipFromOctets, isIpv6, type SocketAddress } from "../Address.ts"
import { ipWords } from "../Cidr.ts"
import { formatIdentity, parseIdentity, type Spiffe } from "../Identity.ts"

export interface ProxyHeader {
  /** Both of one family; undefined: not said. */
  readonly addresses: { readonly source: SocketAddress; readonly destination: SocketAddress } | undefined
  readonly identity: Spiffe | undefined
}

/**
 * The header and nothing after it. Addresses of different families cannot be said, and are left out, as ztunnel does; so is
 * an identity too long for the header: the application then sees somebody unknown, never somebody else.
 */
export const encodeProxyHeader = ({ addresses, identity }: ProxyHeader): Uint8Array => {
  const family = addresses === undefined ? FAMILY_UNSPECIFIED : familyOf(addresses)
  const ends = addresses === undefined || family === FAMILY_UNSPECIFIED ? [] : endsOf(addresses)
  const text = new TextEncoder().encode(identity)
  const said = identity !== undefined && ends.length + TLV_HEADER + text.length <= MAX_UINT16
  const tlv = said ? [TLV_IDENTITY, ...uint16(text.length), ...text] : []
  const length = ends.length + tlv.length
  return Uint8Array.from([...SIGNATURE, VERSION_2 | COMMAND_PROXY, family | STREAM, ...uint16(length), ...ends, ...tlv])
}

export type ProxyHeaderStep =
  /** Call again with these bytes and more. */
  | { readonly _tag: "NeedMore" }
  /** The connection itself begins after the first `consumed` bytes. */
  | { readonly _tag: "Done"; readonly consumed: number; readonly header: ProxyHeader }
  | { readonly _tag: "Invalid"; readonly detail: string }

/** The longest header. */
export const PROXY_HEADER_MAX_BYTES = 16 + 0xffff

/** The header at the start of `bytes`, all that has been received so far. Decided at the first byte that is wrong. */
export const decodeProxyHeader = (bytes: Uint8Array): ProxyHeaderStep => {
  const wrong = SIGNATURE.findIndex((octet, index) => index < bytes.length && bytes[index] !== octet)
  if (wrong >= 0) return invalid("the connection does not begin with a PROXY protocol v2 header")
  const [version, kind, high, low] = bytes.subarray(SIGNATURE.length, FIXED)
  if (version === undefined) return NEED_MORE
  if ((version & 0xf0) !== VERSION_2) return invalid(`version ${version >> 4} of the PROXY protocol, expected 2`)
  const command = version & 0x0f
  if (command !== COMMAND_LOCAL && command !== COMMAND_PROXY)
    return invalid(`PROXY command ${command}, expected 0 or 1`)
  if (kind === undefined) return NEED_MORE
  const octets = command === COMMAND_LOCAL ? 0 : addressOctets(kind)
  if (octets === undefined) return invalid(`PROXY family and protocol 0x${kind.toString(16)}, expected TCP`)
  if (high === undefined || low === undefined) return NEED_MORE
  const end = FIXED + high * 256 + low
  if (end < FIXED + endsLength(octets)) return invalid("a PROXY header too short for its addresses")
  if (bytes.length < end) return NEED_MORE
  if (command === COMMAND_LOCAL) return { _tag: "Done", consumed: end, header: NOTHING_SAID }
  return bodyOf(bytes.subarray(FIXED, end), octets, end)
}

const bodyOf = (body: Uint8Array, octets: number, consumed: number): ProxyHeaderStep => {
  const addresses = octets === 0 ? undefined : readEnds(body, octets)
  let identity: Spiffe | undefined
  for (let at = octets === 0 ? 0 : 2 * (octets + PORT); at < body.length;) {
    const value = at + TLV_HEADER
    const end = value + readUint16(body, at + 1)
    if (!(end <= body.length)) return invalid("a PROXY header that ends inside of a TLV")
    if (body[at] === TLV_IDENTITY) {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body.subarray(value, end))
      const parsed = parseIdentity(text)
      if (Result.isFailure(parsed)) return invalid(parsed.failure.message)
      if (text.includes(NOT_UTF8)) return invalid("an identity that is not UTF-8")
      identity = formatIdentity(parsed.success)
    }
    at = end
  }
  return { _tag: "Done", consumed, header: { addresses, identity } }
}

/** Octets of one address; 0: the header has none; undefined: not a stream, or of a family that is not IP. */
const addressOctets = (kind: number): number | undefined => {
  switch (kind) {
    case FAMILY_UNSPECIFIED:
    case FAMILY_UNSPECIFIED | STREAM:
      return 0
    case FAMILY_IPV4 | STREAM:
      return 4
    case FAMILY_IPV6 | STREAM:
      return 16
    default:
      return undefined
  }
}

const familyOf = ({ destination, source }: NonNullable<ProxyHeader["addresses"]>): number => {
  if (isIpv6(source.ip) !== isIpv6(destination.ip)) return FAMILY_UNSPECIFIED
  return isIpv6(source.ip) ? FAMILY_IPV6 : FAMILY_IPV4
}

/** Source and destination address, then source and destination port. */
const endsOf = ({ destination, source }: NonNullable<ProxyHeader["addresses"]>): ReadonlyArray<number> => [
  ...octetsOf(source.ip),
  ...octetsOf(destination.ip),
  ...uint16(source.port),
  ...uint16(destination.port)
]

const endsLength = (octets: number): number => (octets === 0 ? 0 : 2 * (octets + PORT))

const readEnds = (body: Uint8Array, octets: number): NonNullable<ProxyHeader["addresses"]> => {
  const at = (index: number): SocketAddress => ({
    // 4 or 16 octets are always an address
    ip: Result.getOrThrow(ipFromOctets(body.subarray(index * octets, (index + 1) * octets))),
    port: readUint16(body, 2 * octets + index * PORT)
  })
  return { source: at(0), destination: at(1) }
}

const octetsOf = (ip: Ip): ReadonlyArray<number> =>
  ipWords(ip).flatMap((word) => [...uint16(word >>> 16), ...uint16(word & 0xffff)])

const uint16 = (value: number): ReadonlyArray<number> => [value >>> 8, value & 0xff]

/** NaN where there are not two octets. */
const readUint16 = (bytes: Uint8Array, at: number): number => (bytes[at] ?? NaN) * 256 + (bytes[at + 1] ?? NaN)

const invalid = (detail: string): ProxyHeaderStep => ({ _tag: "Invalid", detail })

const NEED_MORE: ProxyHeaderStep = { _tag: "NeedMore" }
const NOTHING_SAID: ProxyHeader = { addresses: undefined, identity: undefined }
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
/** Signature, version and command, family and protocol, length. */
const FIXED = SIGNATURE.length + 4
const VERSION_2 = 0x20
/** A health check of the proxy itself: the connection is its own. */
const COMMAND_LOCAL = 0
const COMMAND_PROXY = 1
const STREAM = 1
const FAMILY_UNSPECIFIED = 0x00
const FAMILY_IPV4 = 0x10
const FAMILY_IPV6 = 0x20
const PORT = 2
/** Istio's: the peer's SPIFFE id. */
const TLV_IDENTITY = 0xd0
const TLV_HEADER = 3
/** What a decoder puts where octets are no text. */
const NOT_UTF8 = "\ufffd"
const MAX_UINT16 = 0xffff
