/**
 * A certificate that somebody else made, with its key and roots, judged before it is handed on: whose it is, whether the
 * key is its key, and its dates. What fails here would only be seen as a peer's refusal.
 */
import * as Crypto from "node:crypto"
import * as Result from "effect/Result"
import { uriNamesOf } from "../../domain/cert/SubjectAltName.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"
import { CertificateError } from "./CertificateError.ts"

export interface Issued {
  /** PEM or DER of one certificate each; the leaf, then intermediates. */
  readonly chain: ReadonlyArray<string | Uint8Array>
  /** PEM (PKCS#8, SEC1, PKCS#1), or DER of PKCS#8; not encrypted. */
  readonly key: string | Uint8Array
  /** PEM or DER of one certificate each. */
  readonly roots: ReadonlyArray<string | Uint8Array>
  /** Where they come from, for messages. */
  readonly from: { readonly chain: string; readonly key: string; readonly roots: string }
}

export const issuedBundle = (
  identity: Spiffe,
  { chain, from, key, roots }: Issued,
  now: number
): Result.Result<CertificateBundle, CertificateError> => {
  const refuse = (source: string, detail: string) => new CertificateError({ identity, detail: `${source}: ${detail}` })
  return Result.gen(function* () {
    const certificates = yield* parse(chain, (detail) => refuse(from.chain, detail))
    const trusted = yield* parse(roots, (detail) => refuse(from.roots, detail))
    const privateKey = yield* Result.try({
      try: () => privateKeyOf(key),
      catch: (cause) => refuse(from.key, `not a private key that is not encrypted: ${textOf(cause)}`)
    })
    const [leaf] = certificates
    if (leaf === undefined) return yield* Result.fail(refuse(from.chain, "there is no certificate"))
    if (trusted.length === 0) return yield* Result.fail(refuse(from.roots, "there is no certificate to trust"))
    const [owner] = uriNamesOf(leaf.subjectAltName)
    if (owner !== identity) {
      const whose = owner === undefined ? "it is of nobody: it has no URI name" : `it is of ${JSON.stringify(owner)}`
      return yield* Result.fail(refuse(from.chain, whose))
    }
    if (!leaf.checkPrivateKey(privateKey)) {
      return yield* Result.fail(refuse(from.key, `not the key of the certificate from ${from.chain}`))
    }
    const [notBefore, notAfter] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()]
    if (now < notBefore) {
      const detail = `not valid before ${leaf.validFromDate.toISOString()}: check this machine's clock`
      return yield* Result.fail(refuse(from.chain, detail))
    }
    if (now >= notAfter) {
      return yield* Result.fail(
        refuse(from.chain, `expired at ${leaf.validToDate.toISOString()}, and nobody renewed it`)
      )
    }
    return {
      identity,
      chain: pemOf(certificates),
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      roots: pemOf(trusted),
      notBefore,
      notAfter
    }
  })
}

/** The certificates of a PEM text, one block each; other blocks, and what is between them, are passed over. */
export const certificateBlocks = (pem: string): ReadonlyArray<string> => pem.match(CERTIFICATE) ?? []

const parse = (given: ReadonlyArray<string | Uint8Array>, refuse: (detail: string) => CertificateError) =>
  Result.all(
    given.map((one, index) =>
      Result.try({
        try: () => new Crypto.X509Certificate(one),
        catch: (cause) => refuse(`certificate ${index + 1} cannot be read: ${textOf(cause)}`)
      })
    )
  )

const privateKeyOf = (key: string | Uint8Array): Crypto.KeyObject =>
  typeof key === "string"
    ? Crypto.createPrivateKey(key)
    : Crypto.createPrivateKey({ key: Buffer.from(key), format: "der", type: "pkcs8" })

const pemOf = (certificates: ReadonlyArray<Crypto.X509Certificate>): string =>
  certificates.map((certificate) => certificate.toString()).join("")

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g
