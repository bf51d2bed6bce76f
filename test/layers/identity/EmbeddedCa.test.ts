import { execFile } from "node:child_process"
import * as Crypto from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import { type EmbeddedCaOptions, layerEmbeddedCa } from "../../../src/layers/identity/EmbeddedCa.ts"
import { Issuer } from "../../../src/layers/identity/Issuer.ts"
import { makeTestCa } from "../../support/TestCa.ts"

const exec = promisify(execFile)
const hasOpenssl = await exec("openssl", ["version"]).then(
  () => true,
  () => false
)
const identity = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "cart" })
const DAY = 86_400_000
const settings: EmbeddedCaOptions = { root: undefined, secretTtlMs: DAY, trustDomain: "cluster.local" }

const issue = (given: Partial<EmbeddedCaOptions> = {}) =>
  Effect.flatMap(Issuer, (ca) => ca.issue(identity)).pipe(Effect.provide(layerEmbeddedCa({ ...settings, ...given })))

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "weft-ca-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

/** Writes the two files, and gives what `root` is to be. */
const filesOf = Effect.fnUntraced(function* (certificate: string, key: string) {
  const at = yield* folder
  const files = { certPath: join(at, "ca-cert.pem"), keyPath: join(at, "ca-key.pem") }
  yield* Effect.promise(() => writeFile(files.certPath, certificate))
  yield* Effect.promise(() => writeFile(files.keyPath, key))
  return files
})

const refusal = Effect.fnUntraced(function* (certificate: string, key: string) {
  const error = yield* Effect.flip(issue({ root: yield* filesOf(certificate, key) }))
  assert.strictEqual(error._tag, "CaRootError")
  return error.message
})

describe("EmbeddedCa", () => {
  it.live("a leaf is signed by the root and lasts as long as asked", () =>
    Effect.gen(function* () {
      const before = Date.now()
      const bundle = yield* issue()
      const [leaf, root] = [new Crypto.X509Certificate(bundle.chain), new Crypto.X509Certificate(bundle.roots)]
      assert.isTrue(leaf.verify(root.publicKey))
      assert.isTrue(leaf.checkPrivateKey(Crypto.createPrivateKey(bundle.key)))
      assert.isTrue(bundle.key.startsWith("-----BEGIN PRIVATE KEY-----\n"))
      assert.strictEqual(leaf.subjectAltName, `URI:${identity}`)
      assert.isFalse(leaf.ca)
      assert.isTrue(root.ca)
      assert.strictEqual(root.subject, "O=cluster.local")
      assert.strictEqual(leaf.validFromDate.getTime(), bundle.notBefore)
      assert.strictEqual(leaf.validToDate.getTime(), bundle.notAfter)
      assert.approximately(bundle.notAfter, before + DAY, 5000)
      assert.approximately(bundle.notBefore, before - 60_000, 5000)
      assert.approximately(root.validFromDate.getTime(), before - 60_000, 5000)
      assert.isAbove(root.validToDate.getTime(), before + 3600 * DAY)
    })
  )

  it.live("every leaf has a key and a serial of its own", () =>
    Effect.gen(function* () {
      const ca = yield* Issuer
      const [one, two] = [yield* ca.issue(identity), yield* ca.issue(identity)]
      assert.notStrictEqual(one.key, two.key)
      assert.notStrictEqual(
        new Crypto.X509Certificate(one.chain).serialNumber,
        new Crypto.X509Certificate(two.chain).serialNumber
      )
      assert.strictEqual(one.roots, two.roots)
    }).pipe(Effect.provide(layerEmbeddedCa(settings)))
  )

  it.live("a short life is not half over when it begins", () =>
    Effect.gen(function* () {
      const now = Date.now()
      const { notAfter, notBefore } = yield* issue({ secretTtlMs: 10_000 })
      assert.isBelow(notBefore, now)
      assert.isAbove((notBefore + notAfter) / 2, now)
    })
  )

  it.effect.each(["P-256", "P-384", "RSA"] as const)("uses a given root (%s)", (key) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const ca = yield* Effect.promise(() => makeTestCa({ key, name: 'Ac\\me, "Inc"=é' }))
      const bundle = yield* issue({ root: yield* filesOf(ca.certPem, ca.keyPem), secretTtlMs: 1000 * DAY })
      const [leaf, root] = [new Crypto.X509Certificate(bundle.chain), new Crypto.X509Certificate(bundle.roots)]
      assert.strictEqual(root.fingerprint256, new Crypto.X509Certificate(ca.certPem).fingerprint256)
      assert.isTrue(leaf.verify(root.publicKey))
      assert.isTrue(leaf.checkIssued(root))
      assert.strictEqual(bundle.notAfter, root.validToDate.getTime(), "a leaf does not outlive its root")
    })
  )

  it.live("reads a SEC1 key, and trusts only the first certificate of a file", () =>
    Effect.gen(function* () {
      const [ca, other] = yield* Effect.promise(() => Promise.all([makeTestCa(), makeTestCa()]))
      const sec1 = Crypto.createPrivateKey(ca.keyPem).export({ type: "sec1", format: "pem" }).toString()
      assert.include(sec1, "EC PRIVATE KEY")
      const bundle = yield* issue({ root: yield* filesOf(ca.certPem + other.certPem, sec1) })
      assert.strictEqual(bundle.roots.match(/BEGIN CERTIFICATE/g)?.length, 1)
    })
  )

  it.live("says what is wrong with a given root", () =>
    Effect.gen(function* () {
      const [ca, other, old, young] = yield* Effect.promise(() =>
        Promise.all([
          makeTestCa(),
          makeTestCa(),
          makeTestCa({ notBefore: new Date(Date.now() - 2 * DAY), notAfter: new Date(Date.now() - DAY) }),
          makeTestCa({ notBefore: new Date(Date.now() + DAY), notAfter: new Date(Date.now() + 2 * DAY) })
        ])
      )
      const leaf = yield* Effect.promise(() => ca.leaf())
      const intermediate = yield* Effect.promise(() => ca.intermediate())
      const ed25519 = Crypto.generateKeyPairSync("ed25519", {
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
        publicKeyEncoding: { type: "spki", format: "pem" }
      })
      assert.match(yield* refusal("nonsense", ca.keyPem), /ca-cert\.pem: does not hold a certificate/)
      assert.match(yield* refusal(ca.certPem, "nonsense"), /ca-key\.pem: does not hold an unencrypted private key/)
      assert.match(
        yield* refusal(ca.certPem, other.keyPem),
        /ca-key\.pem: is not the key of the certificate in .*ca-cert/
      )
      assert.match(yield* refusal(ca.certPem, ed25519.privateKey), /is not the key/)
      assert.match(yield* refusal(leaf.certPem, leaf.keyPem), /ca-cert\.pem: is not a CA certificate/)
      assert.match(yield* refusal(intermediate.certPem, intermediate.keyPem), /is not self-signed/)
      assert.match(yield* refusal(old.certPem, old.keyPem), /expired at 2/)
      assert.match(yield* refusal(young.certPem, young.keyPem), /is not valid before 2/)
      const missing = yield* Effect.flip(issue({ root: { certPath: "/nowhere/a.pem", keyPath: "/nowhere/b.pem" } }))
      assert.match(missing.message, /\/nowhere\/a\.pem: cannot be read: ENOENT/)
    })
  )

  it.effect("a root that expired while running issues nothing", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const ca = yield* Issuer
      yield* TestClock.adjust("3650 days")
      const error = yield* Effect.flip(ca.issue(identity))
      assert.match(error.message, /root expired at/)
    }).pipe(Effect.provide(layerEmbeddedCa(settings)))
  )

  it.live.skipIf(!hasOpenssl)("openssl agrees on the shape of leaf and root (needs openssl)", () =>
    Effect.gen(function* () {
      const bundle = yield* issue()
      const at = yield* folder
      const [leaf, root] = [join(at, "leaf.pem"), join(at, "root.pem")]
      yield* Effect.promise(() => Promise.all([writeFile(leaf, bundle.chain), writeFile(root, bundle.roots)]))
      const openssl = (...args: ReadonlyArray<string>) =>
        Effect.map(
          Effect.promise(() => exec("openssl", args)),
          ({ stdout }) => stdout
        )
      for (const purpose of ["sslclient", "sslserver"]) {
        assert.include(yield* openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, leaf), "OK")
      }
      const text = yield* openssl("x509", "-noout", "-text", "-in", leaf)
      assert.match(text, /Subject: *\n/)
      assert.match(text, new RegExp(`Subject Alternative Name: critical\\n\\s+URI:${identity}\\n`))
      assert.match(text, /Key Usage: critical\n\s+Digital Signature\n/)
      assert.match(text, /Extended Key Usage: *\n\s+TLS Web Server Authentication, TLS Web Client Authentication\n/)
      assert.match(text, /ASN1 OID: prime256v1/)
      assert.match(text, /Authority Key Identifier/)
      assert.match(text, /Subject Key Identifier/)
      assert.notMatch(text, /\(Negative\)/)
      const ca = yield* openssl("x509", "-noout", "-text", "-in", root)
      assert.match(ca, /Basic Constraints: critical\n\s+CA:TRUE\n/)
      assert.match(ca, /Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/)
    })
  )
})
