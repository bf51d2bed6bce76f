/**
 * TLS as ztunnel speaks it, from a certificate bundle (reference datapath §3.1): versions, suites, groups, ALPN, and
 * that both sides must prove who they are. OpenSSL verifies chain, dates and usage (a client's certificate for client
 * authentication, a server's for server authentication). The name in a server's certificate is judged here, the one in a
 * client's by the HBONE server.
 */
import * as Crypto from "node:crypto"
import * as Tls from "node:tls"
import * as Result from "effect/Result"
import { verifyServer } from "../../domain/cert/SubjectAltName.ts"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import type { CertificateBundle } from "../../domain/shard/Message.ts"

export type TlsSettings = ProxySettings["tls"]

/**
 * Complete for `http2.createSecureServer`, and for `setSecureContext` at rotation, which forgets whatever it is not
 * given again. Still to be judged by the caller, once secure: the client's trust domain (reference datapath §3.2).
 */
export const serverOptions = (bundle: CertificateBundle, tls: TlsSettings): Tls.TlsOptions => ({
  ...contextOptions(bundle, tls),
  ALPNProtocols: ALPN,
  requestCert: true,
  rejectUnauthorized: true,
  // With stateless tickets off and no session store, nothing can be resumed: a resumed session would skip verification.
  secureOptions: Crypto.constants.SSL_OP_NO_TICKET
})

/**
 * For `tls.connect` over a connected `socket`. A server that is none of `accepted` fails the dial with `SpiffeMismatch`
 * (reference datapath §3.3). No server name is sent, and no session is kept.
 */
export const clientOptions = (
  bundle: CertificateBundle,
  tls: TlsSettings,
  accepted: ReadonlyArray<Spiffe>
): Tls.ConnectionOptions => ({
  secureContext: clientContext(bundle, tls),
  ALPNProtocols: ALPN,
  rejectUnauthorized: true,
  checkServerIdentity: (_host, { subjectaltname }) =>
    Result.match(verifyServer(subjectaltname, accepted), { onSuccess: () => undefined, onFailure: (error) => error })
})

/** Building one costs more than the handshake does, so one lives as long as its bundle. */
const clientContext = (bundle: CertificateBundle, tls: TlsSettings): Tls.SecureContext => {
  const known = clientContexts.get(bundle)
  if (known !== undefined && known.tls === tls) return known.context
  const context = Tls.createSecureContext(contextOptions(bundle, tls))
  clientContexts.set(bundle, { tls, context })
  return context
}

const clientContexts = new WeakMap<
  CertificateBundle,
  { readonly tls: TlsSettings; readonly context: Tls.SecureContext }
>()

const contextOptions = (bundle: CertificateBundle, tls: TlsSettings): Tls.SecureContextOptions => ({
  // OpenSSL sends the root after a leaf without intermediates; ztunnel does not, peers skip it, Node has no switch for it
  cert: bundle.chain,
  key: bundle.key,
  ca: bundle.roots,
  minVersion: tls.tls12 ? "TLSv1.2" : "TLSv1.3",
  maxVersion: "TLSv1.3",
  ciphers: (tls.tls12 ? [...SUITES_13, ...SUITES_12] : SUITES_13).join(":"),
  ecdhCurve: (tls.postQuantumOnly ? [POST_QUANTUM] : [...CLASSIC_GROUPS, POST_QUANTUM]).join(":")
})

const ALPN = ["h2"]
const SUITES_13 = ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]
const SUITES_12 = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES128-GCM-SHA256"
]
const CLASSIC_GROUPS = ["X25519", "P-256", "P-384"]
const POST_QUANTUM = "X25519MLKEM768"
