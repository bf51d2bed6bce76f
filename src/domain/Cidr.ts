/**
 * Ranges of addresses as 32-bit words and a length, because one verdict may ask ten thousand of them. An address of one
 * family is never in a range of the other; IPv4-mapped ranges are IPv4 ranges, as such addresses are IPv4 addresses.
 */
import * as IpInterface from "effect/net/IpInterface"
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { type Ip, ipFromOctets, isIpv6 } from "./Address.ts"

/** An address as bits: one word for IPv4, four for IPv6, most significant first, each an unsigned 32-bit number. */
export type IpWords = ReadonlyArray<number>

export interface Cidr {
  /** Canonical text with host bits cleared: `10.0.0.0/8`. */
  readonly text: string
  readonly words: IpWords
  /** 0 to 32 or 128. */
  readonly length: number
}

export const ipWords = (ip: Ip): IpWords => (isIpv6(ip) ? wordsOf(NetAddress.ipFromStringUnsafe(ip)) : [ipv4Word(ip)])

/** `10.0.0.0/8`, `2001:db8::/32`; host bits are tolerated and cleared. `::ffff:10.0.0.0/104` is `10.0.0.0/8`. */
export const parseCidr = (text: string): Cidr | undefined => {
  const range = Result.getOrUndefined(IpInterface.fromString(text, { prefix: "required" }))
  if (range === undefined) return undefined
  const address = NetAddress.toCanonical(range.address)
  const length = address._tag === range.address._tag ? range.prefixLength : range.prefixLength - MAPPED
  return length < 0 ? undefined : ofNetwork(IpNetwork.fromAddressUnsafe(address, length))
}

/** 4 or 16 octets and a prefix length; undefined: there is no such range. */
export const cidrFromOctets = (octets: Uint8Array, length: number): Cidr | undefined => {
  const ip = Result.getOrUndefined(ipFromOctets(octets))
  if (ip === undefined) return undefined
  const mapped = octets.length === 16 && !isIpv6(ip)
  return parseCidr(`${ip}/${mapped ? length - MAPPED : length}`)
}

export const contains = ({ length, words }: Cidr, ip: IpWords): boolean => {
  if (words.length !== ip.length) return false
  for (let index = 0, left = length; left > 0; index += 1, left -= 32) {
    // JavaScript shifts by 32 as by 0
    if ((words[index]! ^ ip[index]!) >>> Math.max(0, 32 - left) !== 0) return false
  }
  return true
}

const ofNetwork = (network: IpNetwork.IpNetwork): Cidr => ({
  text: IpNetwork.format(network),
  words: wordsOf(IpNetwork.firstAddress(network)),
  length: network.prefixLength
})

const ipv4Word = (dotted: string): number =>
  dotted.split(".").reduce((word, octet) => ((word << 8) | Number(octet)) >>> 0, 0)

const wordsOf = (address: NetAddress.IpAddress): IpWords => {
  if (address._tag === "Ipv4Address") return [ipv4Word(NetAddress.formatIp(address))]
  const segments = NetAddress.ipv6ToSegments(address)
  return [0, 2, 4, 6].map((index) => ((segments[index]! << 16) | segments[index + 1]!) >>> 0)
}

/** Bits of the prefix under which IPv4 addresses are IPv6 ones (RFC 4291 §2.5.5.2). */
const MAPPED = 96
