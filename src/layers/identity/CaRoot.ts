/**
 * The embedded CA's root: a certificate and the key that signs with it, made at start or read from two PEM files. What
 * cannot work is refused here, at start, because a peer would only say "unknown CA".
 */
import * as Crypto from "node:crypto"
import { readFile } from "node:fs/promises"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { PemFiles } from "../../domain/config/ControlPlane.ts"
import type { X509 } from "./X509.ts"

export interface CaRoot {
  readonly pem: string
  readonly signingKey: Crypto.webcrypto.CryptoKey
  /** Epoch milliseconds. */
  readonly notAfter: number
}

/** The root cannot be used; `source` is the file, or says that it was to be made. */
export class CaRootError extends Data.TaggedError("CaRootError")<{
  readonly source: string
  readonly detail: string
}> {
  override get message() {
    return `embedded CA (WEFT_CA_CERT, WEFT_CA_KEY): ${this.source}: ${this.detail}`
  }
}

/** A new ECDSA P-256 root for ten years. */
export const makeRoot = Effect.fnUntraced(function* (x509: X509, organization: string) {
  const now = yield* Clock.currentTimeMillis
  const notAfter = wholeSecond(now) + TEN_YEARS_MS
  return yield* Effect.tryPromise({
    try: async (): Promise<CaRoot> => {
      const { privateKey, publicKey } = Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
      const spki = publicKey.export({ type: "spki", format: "der" })
      const signingKey = signingKeyOf(privateKey)
      const name = new x509.Name([{ O: [organization] }])
      const certificate = await x509.X509CertificateGenerator.create({
        subject: name,
        issuer: name,
        notBefore: new Date(wholeSecond(now) - SKEW_MS),
        notAfter: new Date(notAfter),
        publicKey: spki,
        signingKey,
        extensions: [
          new x509.BasicConstraintsExtension(true, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          await x509.SubjectKeyIdentifierExtension.create(spki)
        ]
      })
      return { pem: `${certificate.toString("pem")}\n`, signingKey, notAfter }
    },
    catch: (cause) => new CaRootError({ source: "making a root", detail: String(cause) })
  })
})

/** Key: EC (P-256, P-384, P-521) or RSA, as PKCS#8, SEC1 or PKCS#1, not encrypted. */
export const loadRoot = Effect.fnUntraced(function* ({ certPath, keyPath }: PemFiles) {
  const certText = yield* read(certPath)
  const keyText = yield* read(keyPath)
  const now = yield* Clock.currentTimeMillis
  const certificate = yield* parse(certPath, "a certificate", () => new Crypto.X509Certificate(certText))
  const key = yield* parse(keyPath, "an unencrypted private key", () => Crypto.createPrivateKey(keyText))
  const refuse = (source: string, detail: string) => new CaRootError({ source, detail })

  if (!certificate.checkPrivateKey(key))
    return yield* refuse(keyPath, `is not the key of the certificate in ${certPath}`)
  if (!certificate.ca) {
    return yield* refuse(
      certPath,
      "is not a CA certificate (needs basicConstraints CA:TRUE, and keyUsage keyCertSign if it has one)"
    )
  }
  if (!certificate.checkIssued(certificate) || !certificate.verify(certificate.publicKey)) {
    return yield* refuse(certPath, "is not self-signed: peers trust the root itself, so give the root and its key")
  }
  const notAfter = certificate.validToDate.getTime()
  if (now >= notAfter) return yield* refuse(certPath, `expired at ${certificate.validToDate.toISOString()}`)
  if (now < certificate.validFromDate.getTime()) {
    return yield* refuse(
      certPath,
      `is not valid before ${certificate.validFromDate.toISOString()}: check this machine's clock`
    )
  }
  const signingKey = yield* parse(keyPath, "an EC (P-256, P-384, P-521) or RSA key", () => signingKeyOf(key))
  // toString, not the file's text: that may hold other blocks, and each would become a trusted root
  const root: CaRoot = { pem: certificate.toString(), signingKey, notAfter }
  return root
})

/** X.509 times are whole seconds. */
export const wholeSecond = (ms: number): number => Math.floor(ms / 1000) * 1000

/** How far behind a peer's clock may be, and still take a certificate made just now. */
export const SKEW_MS = 60_000

const read = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => new CaRootError({ source: path, detail: `cannot be read: ${text(cause)}` })
  })

const parse = <A>(path: string, what: string, make: () => A) =>
  Effect.try({
    try: make,
    catch: (cause) => new CaRootError({ source: path, detail: `does not hold ${what} in PEM form: ${text(cause)}` })
  })

const text = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const signingKeyOf = (key: Crypto.KeyObject): Crypto.webcrypto.CryptoKey => {
  if (key.asymmetricKeyType === "rsa") {
    return key.toCryptoKey({ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"])
  }
  const namedCurve = WEB_CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""]
  if (namedCurve === undefined) throw new Error(`a key of type ${key.asymmetricKeyType} cannot sign here`)
  return key.toCryptoKey({ name: "ECDSA", namedCurve }, false, ["sign"])
}

/** OpenSSL's names of the curves that WebCrypto signs with. */
const WEB_CURVES: { readonly [name: string]: string } = {
  prime256v1: "P-256",
  secp384r1: "P-384",
  secp521r1: "P-521"
}

const TEN_YEARS_MS = 3650 * 86_400_000
