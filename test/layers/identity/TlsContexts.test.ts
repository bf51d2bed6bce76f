import { once } from "node:events"
import type { AddressInfo } from "node:net"
import * as Tls from "node:tls"
import { afterEach, assert, beforeAll, describe, it } from "@effect/vitest"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import type { CertificateBundle } from "../../../src/domain/shard/Message.ts"
import { clientOptions, serverOptions, type TlsSettings } from "../../../src/layers/identity/TlsContexts.ts"
import { type LeafShape, makeTestCa, type TestCa } from "../../support/TestCa.ts"

const identity = formatIdentity({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "default" })
const stranger = formatIdentity({ trustDomain: "cluster.local", namespace: "default", serviceAccount: "stranger" })
const TLS13: TlsSettings = { tls12: false, postQuantumOnly: false }
const TLS12: TlsSettings = { tls12: true, postQuantumOnly: false }
const PQ: TlsSettings = { tls12: false, postQuantumOnly: true }
const HOUR = 3_600_000

let ca: TestCa
let good: CertificateBundle
beforeAll(async () => {
  ca = await makeTestCa()
  good = await bundleOf(ca)
})

const servers: Array<Tls.Server> = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

const bundleOf = async (signer: TestCa, shape: LeafShape = {}, roots = signer.certPem): Promise<CertificateBundle> => {
  const { certPem, keyPem } = await signer.leaf(shape)
  return { identity, chain: certPem, key: keyPem, roots, notBefore: 0, notAfter: 0 }
}

const listen = async (options: Tls.TlsOptions) => {
  const server = Tls.createServer(options)
  servers.push(server)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return server
}

interface Seen {
  /** "accepted", or why not. */
  readonly client: string
  readonly server: string
  /** Version, suite, application protocol, server name; as the server sees it. */
  readonly agreed: ReadonlyArray<string | false | null | undefined>
  readonly group: string | undefined
  readonly session: Buffer | undefined
  readonly reused: boolean
}

/** One handshake, until both sides have made up their minds and the connection is gone. */
const dial = async (server: Tls.Server, options: Tls.ConnectionOptions): Promise<Seen> => {
  let agreed: Seen["agreed"] = []
  const serverSide = new Promise<string>((resolve) => {
    const refused = (error: Error & { code?: string }, socket: Tls.TLSSocket) => {
      server.off("secureConnection", accepted)
      resolve(String(socket.authorizationError ?? error.code))
    }
    const accepted = (socket: Tls.TLSSocket) => {
      server.off("tlsClientError", refused)
      // Node's types do not know `servername` on a server's socket
      const { servername } = socket as Tls.TLSSocket & { readonly servername?: string | false }
      agreed = [socket.getProtocol(), socket.getCipher().name, socket.alpnProtocol, servername]
      socket.on("error", () => {})
      socket.end("x")
      resolve("accepted")
    }
    server.once("tlsClientError", refused)
    server.once("secureConnection", accepted)
  })
  // an `AddressInfo`, because the server listens on a port
  const { port } = server.address() as AddressInfo
  const socket = Tls.connect({ ...options, host: "127.0.0.1", port })
  const closed = new Promise((resolve) => socket.once("close", resolve))
  let session: Buffer | undefined
  let group: string | undefined
  let reused = false
  socket.on("session", (given) => (session = given))
  socket.resume()
  const clientSide = new Promise<string>((resolve) => {
    socket.once("secureConnect", () => {
      const key = socket.getEphemeralKeyInfo()
      group = key !== null && "name" in key ? key.name : undefined
      reused = socket.isSessionReused()
      resolve("accepted")
    })
    socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message))
  })
  const [client, serverVerdict] = await Promise.all([clientSide, serverSide, closed])
  return { client, server: serverVerdict, agreed, group, session, reused }
}

const handshake = async (
  server: CertificateBundle,
  client: CertificateBundle,
  serverTls: TlsSettings = TLS13,
  clientTls: TlsSettings = serverTls
) => dial(await listen(serverOptions(server, serverTls)), clientOptions(client, clientTls, [identity]))

const assertAccepted = ({ client, server }: Seen) => assert.deepStrictEqual([client, server], ["accepted", "accepted"])

describe("what is agreed", () => {
  it("TLS 1.3, AES-256, X25519, h2, no server name", async () => {
    const seen = await handshake(good, good)
    assertAccepted(seen)
    assert.deepStrictEqual(seen.agreed, ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "h2", false])
    assert.strictEqual(seen.group, "X25519")
  })

  it("TLS 1.2 only when it is allowed", async () => {
    const old = {
      ...clientOptions(good, TLS12, [identity]),
      secureContext: undefined,
      ...pemOf(good),
      maxVersion: "TLSv1.2"
    } as const
    assert.strictEqual(
      (await dial(await listen(serverOptions(good, TLS13)), old)).server,
      "ERR_SSL_UNSUPPORTED_PROTOCOL"
    )
    const seen = await dial(await listen(serverOptions(good, TLS12)), old)
    assertAccepted(seen)
    assert.deepStrictEqual(seen.agreed.slice(0, 2), ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"])
    assert.strictEqual((await handshake(good, good, TLS12)).agreed[0], "TLSv1.3")
  })

  it("neither ChaCha20 nor another application protocol", async () => {
    const server = await listen(serverOptions(good, TLS13))
    const client = { ...pemOf(good), checkServerIdentity: () => undefined, minVersion: "TLSv1.3" } as const
    const chacha = await dial(server, { ...client, ciphers: "TLS_CHACHA20_POLY1305_SHA256" })
    assert.strictEqual(chacha.server, "ERR_SSL_NO_SHARED_CIPHER")
    const http1 = await dial(server, { ...client, ALPNProtocols: ["http/1.1"] })
    assert.strictEqual(http1.client, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL")
    assertAccepted(await dial(server, client))
  })

  it("X25519MLKEM768 is known to all, and the only group when post-quantum is demanded", async () => {
    assertAccepted(await handshake(good, good, PQ, TLS13))
    assertAccepted(await handshake(good, good, TLS13, PQ))
    const classic = { ...pemOf(good), checkServerIdentity: () => undefined, ecdhCurve: "X25519:P-256:P-384" }
    assertAccepted(await dial(await listen(serverOptions(good, TLS13)), classic))
    assert.notStrictEqual((await dial(await listen(serverOptions(good, PQ)), classic)).client, "accepted")
  })

  it("nothing is resumed: every connection is verified", async () => {
    for (const tls of [TLS13, TLS12]) {
      const server = await listen(serverOptions(good, tls))
      const limit = tls.tls12 ? ({ maxVersion: "TLSv1.2" } as const) : {}
      const client = { ...pemOf(good), ...limit, checkServerIdentity: () => undefined }
      const first = await dial(server, client)
      assert.isDefined(first.session)
      const second = await dial(server, { ...client, session: first.session })
      assertAccepted(second)
      assert.isFalse(second.reused)
    }
  })

  it("a bundle's client context is built once", () => {
    const { secureContext } = clientOptions(good, TLS13, [identity])
    assert.strictEqual(clientOptions(good, TLS13, []).secureContext, secureContext)
    assert.notStrictEqual(clientOptions({ ...good }, TLS13, []).secureContext, secureContext)
    assert.notStrictEqual(clientOptions(good, PQ, []).secureContext, secureContext)
  })
})

describe("who is refused", () => {
  const past = new Date(Date.now() - HOUR / 2)
  const future = new Date(Date.now() + HOUR / 2)
  it.each([
    ["expired", { notAfter: past }, "CERT_HAS_EXPIRED"],
    ["not valid yet", { notBefore: future }, "CERT_NOT_YET_VALID"],
    ["for signing code only", { eku: ["codeSigning"] }, "INVALID_PURPOSE"]
  ] satisfies ReadonlyArray<[string, LeafShape, string]>)(
    "a certificate that is %s, on either side",
    async (_, shape, why) => {
      const bad = await bundleOf(ca, shape)
      assert.strictEqual((await handshake(good, bad)).server, why)
      assert.strictEqual((await handshake(bad, good)).client, why)
    }
  )

  it("a certificate for the other side's role", async () => {
    const forServers = await bundleOf(ca, { eku: ["serverAuth"] })
    const forClients = await bundleOf(ca, { eku: ["clientAuth"] })
    assertAccepted(await handshake(forServers, forClients))
    assert.strictEqual((await handshake(good, forServers)).server, "INVALID_PURPOSE")
    assert.strictEqual((await handshake(forClients, good)).client, "INVALID_PURPOSE")
  })

  it("a certificate from another root, on either side", async () => {
    const other = await makeTestCa()
    const foreign = await bundleOf(other, {}, ca.certPem)
    assert.strictEqual((await handshake(good, foreign)).server, "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
    assert.strictEqual((await handshake(foreign, good)).client, "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
    const both = { ...good, roots: other.certPem + ca.certPem }
    assertAccepted(await handshake(both, { ...foreign, roots: both.roots }))
  })

  it("a chain without its intermediate, on either side", async () => {
    const intermediate = await ca.intermediate()
    const partial = await bundleOf(intermediate, {}, ca.certPem)
    const whole = { ...partial, chain: partial.chain + intermediate.certPem }
    assertAccepted(await handshake(whole, whole))
    assert.strictEqual((await handshake(good, partial)).server, "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
    assert.strictEqual((await handshake(partial, good)).client, "UNABLE_TO_VERIFY_LEAF_SIGNATURE")
    const anchoredBelow = { ...good, roots: intermediate.certPem }
    assert.notStrictEqual((await handshake(partial, anchoredBelow)).client, "accepted")
  })

  it("a client without a certificate", async () => {
    const server = await listen(serverOptions(good, TLS13))
    const seen = await dial(server, { ca: good.roots, checkServerIdentity: () => undefined })
    assert.strictEqual(seen.server, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")
  })

  it("a server of another name", async () => {
    const server = await listen(serverOptions(await bundleOf(ca, { uris: [stranger] }), TLS13))
    const seen = await dial(server, clientOptions(good, TLS13, [identity]))
    assert.strictEqual(seen.client, `expected ${identity}, but the peer's certificate presents "${stranger}"`)
    assertAccepted(await dial(server, clientOptions(good, TLS13, [identity, stranger])))
    assert.match((await dial(server, clientOptions(good, TLS13, []))).client, /^expected nobody/)
  })
})

describe("rotation", () => {
  it("new connections see the new bundle, and its roots decide", async () => {
    const server = await listen(serverOptions(good, TLS13))
    const next = await bundleOf(await makeTestCa())
    server.setSecureContext(serverOptions(next, TLS13))
    const seen = await dial(server, clientOptions(next, TLS13, [identity]))
    assertAccepted(seen)
    assert.deepStrictEqual(seen.agreed, ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "h2", false])
    const old = await dial(server, { ...clientOptions(good, TLS13, [identity]), rejectUnauthorized: false })
    assert.strictEqual(old.server, "SELF_SIGNED_CERT_IN_CHAIN")
    const nobody = await dial(server, { rejectUnauthorized: false })
    assert.strictEqual(nobody.server, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE")
    assertAccepted(await dial(server, { ...pemOf(next), checkServerIdentity: () => undefined }))
  })
})

const pemOf = ({ chain, key, roots }: CertificateBundle) => ({ cert: chain, key, ca: roots })
