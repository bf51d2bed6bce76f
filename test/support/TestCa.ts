/** A certificate authority for tests that gives whatever it is asked for, the wrong things above all. */
import * as Crypto from "node:crypto"
import * as Net from "node:net"
import { loadX509 } from "../../src/layers/identity/X509.ts"

export interface LeafShape {
  /** URI subject alternative names, in order; default one. */
  readonly uris?: ReadonlyArray<string>
  /** Host names and addresses, behind the URIs. */
  readonly hosts?: ReadonlyArray<string>
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** Default both; none leaves the extension out. */
  readonly eku?: ReadonlyArray<"serverAuth" | "clientAuth" | "codeSigning">
}

export interface Pair {
  readonly certPem: string
  readonly keyPem: string
}

export interface TestCa extends Pair {
  /** `certPem` is the leaf alone. */
  readonly leaf: (shape?: LeafShape) => Promise<Pair>
  readonly intermediate: () => Promise<TestCa>
}

export interface CaShape {
  readonly name?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly key?: "P-256" | "P-384" | "RSA"
}

export const makeTestCa = async (shape: CaShape = {}): Promise<TestCa> => makeCa(shape)

const makeCa = async (
  { key = "P-256", name = "weft test root", notAfter = inHours(24), notBefore = inHours(-1) }: CaShape,
  parent?: Signer
): Promise<TestCa> => {
  const x509 = await loadX509()
  const { privateKey, publicKey } = newKey(key)
  const subject = new x509.Name([{ O: [name] }]).toString()
  const spki = publicKey.export({ type: "spki", format: "der" })
  const self: Signer = { name: subject, key: signingKeyOf(privateKey), spki }
  const signer = parent ?? self
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: signer.name,
    notBefore,
    notAfter,
    publicKey: spki,
    signingKey: signer.key,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(spki),
      await x509.AuthorityKeyIdentifierExtension.create(signer.spki)
    ]
  })
  return {
    certPem: `${certificate.toString("pem")}\n`,
    keyPem: pkcs8(privateKey),
    leaf: (leaf = {}) => makeLeaf(self, leaf),
    intermediate: () => makeCa({ name: `${name}, intermediate`, notBefore, notAfter }, self)
  }
}

const makeLeaf = async (
  signer: Signer,
  {
    eku = ["serverAuth", "clientAuth"],
    hosts = [],
    notAfter = inHours(1),
    notBefore = inHours(-1),
    uris = ["spiffe://cluster.local/ns/default/sa/default"]
  }: LeafShape
): Promise<Pair> => {
  const x509 = await loadX509()
  const names = [
    ...uris.map((value) => ({ type: "url" as const, value })),
    ...hosts.map((value) => ({ type: Net.isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value }))
  ]
  const { privateKey, publicKey } = newKey("P-256")
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: signer.name,
    notBefore,
    notAfter,
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    signingKey: signer.key,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      await x509.AuthorityKeyIdentifierExtension.create(signer.spki),
      ...(eku.length === 0
        ? []
        : [new x509.ExtendedKeyUsageExtension(eku.map((usage) => x509.ExtendedKeyUsage[usage]))]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names, true)])
    ]
  })
  return { certPem: `${certificate.toString("pem")}\n`, keyPem: pkcs8(privateKey) }
}

interface Signer {
  readonly name: string
  readonly key: Crypto.webcrypto.CryptoKey
  readonly spki: Buffer<ArrayBuffer>
}

const newKey = (kind: "P-256" | "P-384" | "RSA") =>
  kind === "RSA"
    ? Crypto.generateKeyPairSync("rsa", { modulusLength: 2048 })
    : Crypto.generateKeyPairSync("ec", { namedCurve: kind })

const signingKeyOf = (key: Crypto.KeyObject) =>
  key.asymmetricKeyType === "rsa"
    ? key.toCryptoKey({ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"])
    : key.toCryptoKey(
        { name: "ECDSA", namedCurve: key.asymmetricKeyDetails?.namedCurve === "secp384r1" ? "P-384" : "P-256" },
        false,
        ["sign"]
      )

const pkcs8 = (key: Crypto.KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString()

const inHours = (hours: number): Date => new Date(Date.now() + hours * 3_600_000)
