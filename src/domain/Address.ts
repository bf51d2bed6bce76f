/**
 * Addresses as values. An `Ip` is the canonical text of an address (RFC 5952; IPv4-mapped IPv6 becomes IPv4), so two
 * spellings of one address are one map key. Parsing is `effect/net`'s.
 */
import * as Data from "effect/Data"
import type * as Brand from "effect/Brand"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"

/** Canonical text of an IP address. Made only in this file. */
export type Ip = Brand.Branded<string, "Ip">

/** Where one socket is. Port 0 to 65535. */
export interface SocketAddress {
  readonly ip: Ip
  readonly port: number
}

/** What was given is not an address; `expected` says what would have been. */
export class AddressError extends Data.TaggedError("AddressError")<{
  readonly given: string
  readonly expected: string
}> {
  override get message() {
    return `${JSON.stringify(this.given)} is not ${this.expected}`
  }
}

const canonical = (address: NetAddress.IpAddress): Ip => NetAddress.formatIp(NetAddress.toCanonical(address)) as Ip

/** `10.0.0.1`, `::1`, `::ffff:10.0.0.1` (which is 10.0.0.1). No zone, no brackets, no port. */
export const parseIp = (text: string): Result.Result<Ip, AddressError> =>
  Result.mapBoth(NetAddress.ipFromString(text), {
    onSuccess: canonical,
    onFailure: () => new AddressError({ given: text, expected: "an IP address" })
  })

/** For constants and for what the kernel gave: throws on anything else. */
export const ipUnsafe = (text: string): Ip => Result.getOrThrow(parseIp(text))

/** 4 or 16 octets in network order. */
export const ipFromOctets = (octets: Uint8Array): Result.Result<Ip, AddressError> => {
  // joined octets are canonical as they are, and this runs for every SOCKS5 connection
  if (octets.length === 4) return Result.succeed(octets.join(".") as Ip)
  if (octets.length === 16) return Result.succeed(canonical(NetAddress.ipv6FromBytesUnsafe(octets)))
  return Result.fail(new AddressError({ given: `${octets.length} octets`, expected: "an address of 4 or 16 octets" }))
}

/** `10.0.0.1:80`, `[::1]:80`. */
export const parseSocketAddress = (text: string): Result.Result<SocketAddress, AddressError> => {
  const expected = "an address with a port, such as 10.0.0.1:80 or [::1]:80"
  const match = /^(?:\[([^\]:]*:[^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) return Result.fail(new AddressError({ given: text, expected }))
  return Result.map(parseIp(match[1] ?? match[2] ?? ""), (ip) => ({ ip, port }))
}

/**
 * An address as the kernel tells it of a socket, or undefined where the socket has none any more. A zone (`%eth0`) names
 * an interface as well; the mesh knows addresses only.
 */
export const kernelAddress = (ip: string | undefined, port: number | undefined): SocketAddress | undefined => {
  if (ip === undefined || port === undefined) return undefined
  // dotted text from the kernel is canonical as it is: this runs for every connection
  return { ip: ip.includes(":") ? ipUnsafe(ip.split("%", 1)[0]!) : (ip as Ip), port }
}

export const formatSocketAddress = ({ ip, port }: SocketAddress): string =>
  isIpv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`

export const isIpv6 = (ip: Ip): boolean => ip.includes(":")

/** 127.0.0.0/8 or ::1. */
export const isLoopback = (ip: Ip): boolean => ip === "::1" || (ip.startsWith("127.") && !isIpv6(ip))

export const LOOPBACK_V4 = ipUnsafe("127.0.0.1")
