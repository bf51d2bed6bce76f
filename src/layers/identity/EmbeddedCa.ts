/**
 * weft's own certificate authority, for a mesh without istiod: one root, and leaves of the form that Istio's CA gives
 * (reference datapath §3.1, §8.1): a new P-256 key each, an empty subject, one critical URI name, both TLS usages.
 * Remembers nothing that it issued; `Certificates` does.
 */
import * as Crypto from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { PemFiles } from "../../domain/config/ControlPlane.ts"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"
import { type CaRoot, CaRootError, loadRoot, makeRoot, SKEW_MS, wholeSecond } from "./CaRoot.ts"
import { CertificateError } from "./CertificateError.ts"
import { Issuer } from "./Issuer.ts"
import { loadX509, type X509 } from "./X509.ts"

export interface EmbeddedCaOptions extends Pick<ProxySettings, "secretTtlMs" | "trustDomain"> {
  /** Made at start when not given. */
  readonly root: PemFiles | undefined
}

/**
 * Signs certificates that are valid for `secretTtlMs` from now, or as long as the root when that ends first. Fails with
 * `CaRootError` when a root is given and cannot be used. Call once: each call makes another root.
 */
export const layerEmbeddedCa = (options: EmbeddedCaOptions) => Layer.effect(Issuer, make(options))

const make = Effect.fnUntraced(function* ({ root: files, secretTtlMs, trustDomain }: EmbeddedCaOptions) {
  const x509 = yield* Effect.tryPromise({
    try: loadX509,
    catch: (cause) => new CaRootError({ source: "loading @peculiar/x509", detail: String(cause) })
  })
  const root = yield* files === undefined ? makeRoot(x509, trustDomain) : loadRoot(files)
  return Issuer.of({
    issue: Effect.fnUntraced(function* (identity) {
      const now = yield* Clock.currentTimeMillis
      if (now >= root.notAfter) {
        const detail = `the embedded CA's root expired at ${new Date(root.notAfter).toISOString()}: give a new one and restart`
        return yield* new CertificateError({ identity, detail })
      }
      return yield* Effect.tryPromise({
        try: () => sign(x509, root, identity, validity(now, secretTtlMs, root.notAfter)),
        catch: (cause) => new CertificateError({ identity, detail: `the embedded CA cannot sign: ${String(cause)}` })
      })
    }),
    changed: Stream.never,
    forget: () => Effect.void
  })
})

interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

/** Backdated for peers whose clock is behind, but never by so much that half of the validity is already over. */
const validity = (now: number, ttlMs: number, rootNotAfter: number): Validity => {
  const notAfter = Math.min(wholeSecond(now + ttlMs), rootNotAfter)
  return { notBefore: wholeSecond(now - Math.min(SKEW_MS, (notAfter - now) / 4)), notAfter }
}

const sign = async (
  x509: X509,
  root: CaRoot,
  identity: Spiffe,
  { notAfter, notBefore }: Validity
): Promise<CertificateBundle> => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" }
  })
  const issuer = new x509.X509Certificate(root.pem)
  // tells apart roots of one name; a root without an identifier is not asked for it
  const issuerKeyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId
  const authority =
    issuerKeyId === undefined
      ? await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
      : new x509.AuthorityKeyIdentifierExtension(issuerKeyId)
  const leaf = await x509.X509CertificateGenerator.create({
    issuer: issuer.subjectName,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    publicKey,
    signingKey: root.signingKey,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      authority,
      // critical because the subject is empty (RFC 5280 §4.1.2.6)
      new x509.SubjectAlternativeNameExtension([{ type: "url", value: identity }], true)
    ]
  })
  return { identity, chain: `${leaf.toString("pem")}\n`, key: privateKey, roots: root.pem, notBefore, notAfter }
}
