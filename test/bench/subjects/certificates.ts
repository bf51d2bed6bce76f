/** A root of our own, and P-256 leaves under it, as PEM files in a directory of the run. */
import { webcrypto } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { loadX509, type X509 } from "../../../src/layers/identity/X509.ts"

export interface PemPair {
  readonly certPath: string
  readonly keyPath: string
}

export interface Authority extends PemPair {
  readonly issue: (uri: string) => Promise<PemPair>
}

export const makeAuthority = async (directory: string): Promise<Authority> => {
  const x509 = await loadX509()
  const keys = await generate()
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: "O=bench",
    keys,
    signingAlgorithm: P256,
    ...validity(),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)
    ]
  })
  const save = async (
    name: string,
    certificate: InstanceType<X509["X509Certificate"]>,
    key: webcrypto.CryptoKey
  ): Promise<PemPair> => {
    const pair = { certPath: join(directory, `${name}.crt`), keyPath: join(directory, `${name}.key`) }
    await writeFile(pair.certPath, certificate.toString("pem"))
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key)
    await writeFile(pair.keyPath, x509.PemConverter.encode(pkcs8, "PRIVATE KEY"), { mode: 0o600 })
    return pair
  }
  let issued = 0
  return {
    ...(await save("root", root, keys.privateKey)),
    issue: async (uri) => {
      const leafKeys = await generate()
      const leaf = await x509.X509CertificateGenerator.create({
        issuer: root.subject,
        signingKey: keys.privateKey,
        publicKey: leafKeys.publicKey,
        signingAlgorithm: P256,
        ...validity(),
        extensions: [
          new x509.SubjectAlternativeNameExtension([{ type: "url", value: uri }], true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth])
        ]
      })
      return save(`leaf${++issued}`, leaf, leafKeys.privateKey)
    }
  }
}

const P256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" }

const generate = () => webcrypto.subtle.generateKey(P256, true, ["sign", "verify"])

const validity = () => ({
  notBefore: new Date(Date.now() - 3_600_000),
  notAfter: new Date(Date.now() + 24 * 3_600_000)
})
