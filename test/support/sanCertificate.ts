/**
 * A certificate with the subject alternative names that a test asks for, octet by octet: what no CA would sign. It is
 * well-formed DER with an empty signature, which is enough for Node to print its names.
 */
import { generateKeyPairSync, X509Certificate } from "node:crypto"

/** GeneralName tags (RFC 5280 §4.2.1.6). */
export const GENERAL_NAME = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const

export interface GeneralName {
  readonly tag: number
  readonly content: Uint8Array
}

/** Node's text for these names, as `getPeerCertificate().subjectaltname` has it. */
export const subjectAltNameText = (names: ReadonlyArray<GeneralName>): string | undefined =>
  new X509Certificate(certificate(names)).subjectAltName

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}
const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
const oid = (...octets: ReadonlyArray<number>) => der(0x06, Buffer.from(octets))

const certificate = (names: ReadonlyArray<GeneralName>): Buffer => {
  const altNames = sequence(...names.map(({ content, tag }) => der(tag, content)))
  const extension = sequence(oid(0x55, 0x1d, 0x11), der(0x04, altNames))
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    ECDSA_SHA256,
    sequence(),
    sequence(der(0x17, Buffer.from("260101000000Z")), der(0x17, Buffer.from("270101000000Z"))),
    sequence(),
    PUBLIC_KEY,
    der(0xa3, sequence(extension))
  )
  return sequence(toBeSigned, ECDSA_SHA256, der(0x03, Buffer.from([0])))
}

const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02))
const PUBLIC_KEY = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" })
