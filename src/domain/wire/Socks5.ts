/**
 * The server's side of SOCKS5 (RFC 1928) as pure functions of the bytes received so far: greeting, then request. Only "no
 * authentication" and CONNECT (reference datapath §1.7). Unlike ztunnel it refuses in the protocol's own words, and a
 * name that spells an address is taken for the address. Neither message exceeds `SOCKS5_MAX_BYTES`.
 */
import * as Result from "effect/Result"
import { ipFromOctets, parseIp } from "../Address.ts"
import type { Reason } from "../connection/ProxyError.ts"
import { type Authority, isHostname } from "./Authority.ts"

export type Socks5Step<A> =
  /** Call again with these bytes and more. */
  | { readonly _tag: "NeedMore" }
  /** The message is complete; what follows the first `consumed` bytes is not part of it. */
  | { readonly _tag: "Done"; readonly consumed: number; readonly value: A }
  /** Send `reply` (nothing, if it is empty) and close. */
  | { readonly _tag: "Refused"; readonly reply: Uint8Array; readonly detail: string }

/** Reply codes (RFC 1928 §6). */
export const SOCKS5_REPLY = {
  succeeded: 0,
  generalFailure: 1,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  commandNotSupported: 7,
  addressTypeNotSupported: 8
} as const

export type Socks5ReplyCode = (typeof SOCKS5_REPLY)[keyof typeof SOCKS5_REPLY]

/** The longest greeting has 257 bytes, the longest request 262. */
export const SOCKS5_MAX_BYTES = 262

/** The value is the answer to send. A peer that does not speak SOCKS5 at all gets no bytes that it could not read. */
export const parseSocks5Greeting = (bytes: Uint8Array): Socks5Step<Uint8Array> => {
  const [version, count] = bytes
  if (version === undefined) return NEED_MORE
  if (version !== VERSION) return refused(new Uint8Array(), `version ${version} in the greeting, expected 5`)
  if (count === undefined || bytes.length < 2 + count) return NEED_MORE
  if (!bytes.subarray(2, 2 + count).includes(NO_AUTHENTICATION)) {
    return refused(
      Uint8Array.of(VERSION, NO_ACCEPTABLE_METHOD),
      "the client does not offer to go without authentication"
    )
  }
  return { _tag: "Done", consumed: 2 + count, value: Uint8Array.of(VERSION, NO_AUTHENTICATION) }
}

/** The value is the target, an address in canonical form or a name to look up. The reply is sent once the outcome is known. */
export const parseSocks5Request = (bytes: Uint8Array): Socks5Step<Authority> => {
  const [version, command, , type, nameLength] = bytes
  if (version === undefined) return NEED_MORE
  if (version !== VERSION) return refusedWith("generalFailure", `version ${version} in the request, expected 5`)
  if (type === undefined) return NEED_MORE
  if (type !== IPV4 && type !== IPV6 && type !== DOMAIN) {
    return refusedWith("addressTypeNotSupported", `address type ${type}, expected 1 (IPv4), 3 (name) or 4 (IPv6)`)
  }
  if (nameLength === undefined) return NEED_MORE
  const start = type === DOMAIN ? 5 : 4
  const end = start + (type === DOMAIN ? nameLength : type === IPV4 ? 4 : 16)
  // the whole request is read before it is refused: closing over unread bytes could reset away the reply
  if (bytes.length < end + 2) return NEED_MORE
  if (command !== CONNECT) return refusedWith("commandNotSupported", `command ${command}, expected 1 (CONNECT)`)
  const port = bytes[end]! * 256 + bytes[end + 1]!
  if (port === 0) return refusedWith("generalFailure", "port 0 cannot be connected to")
  const target = targetOf(type, bytes.subarray(start, end), port)
  if (target === undefined) return refusedWith("hostUnreachable", "the name is not a hostname")
  return { _tag: "Done", consumed: end + 2, value: target }
}

/** What a failure is in the protocol's words; undefined: it went well. */
export const socks5Outcome = (failed: Reason | undefined): keyof typeof SOCKS5_REPLY => {
  if (failed === undefined) return "succeeded"
  if (failed._tag === "UnknownHostname") return "hostUnreachable"
  if (failed._tag !== "ConnectFailed") return "generalFailure"
  switch (failed.code) {
    case "ECONNREFUSED":
      return "connectionRefused"
    case "ENETUNREACH":
      return "networkUnreachable"
    case "EHOSTUNREACH":
    case "ETIMEDOUT":
      return "hostUnreachable"
    default:
      return "generalFailure"
  }
}

/** A reply with the bound address left at 0.0.0.0:0, as ztunnel's: it would tell the client nothing it can use. */
export const socks5Reply = (code: Socks5ReplyCode): Uint8Array =>
  Uint8Array.of(VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0)

const targetOf = (type: number, octets: Uint8Array, port: number): Authority | undefined => {
  // octets beyond ASCII turn into letters that no hostname has
  const text = type === DOMAIN ? String.fromCharCode(...octets) : undefined
  const ip = text === undefined ? ipFromOctets(octets) : parseIp(text)
  if (Result.isSuccess(ip)) return { _tag: "Address", address: { ip: ip.success, port } }
  return text !== undefined && isHostname(text) ? { _tag: "Hostname", host: text, port } : undefined
}

const refused = (reply: Uint8Array, detail: string) => ({ _tag: "Refused", reply, detail }) as const
const refusedWith = (code: keyof typeof SOCKS5_REPLY, detail: string) =>
  refused(socks5Reply(SOCKS5_REPLY[code]), detail)

const NEED_MORE = { _tag: "NeedMore" } as const
const VERSION = 5
const NO_AUTHENTICATION = 0
const NO_ACCEPTABLE_METHOD = 0xff
const CONNECT = 1
const IPV4 = 1
const DOMAIN = 3
const IPV6 = 4
