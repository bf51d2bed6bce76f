/** The HBONE listener as `openssl s_client` sees it: what it shows, and whom it turns away. */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { accessLineFrom } from "../support/accessLines.ts"
import { isMissing, start } from "../support/commands.ts"
import { eventually } from "../support/eventually.ts"
import {
  caFiles,
  CLIENT_IDENTITY,
  meshAddresses,
  pairMesh,
  SERVER_IDENTITY,
  startServerSide
} from "../support/meshPair.ts"
import { type LeafShape, makeTestCa, type TestCa } from "../support/TestCa.ts"
import { tempDir, type Weft } from "../support/WeftProcess.ts"

class Story extends Context.Service<Story, { readonly ca: TestCa; readonly dir: string; readonly server: Weft }>()(
  "weft/test/e2e/tls/Story"
) {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const dir = yield* tempDir
      Fs.writeFileSync(Path.join(dir, "ca"), ca.certPem)
      return { ca, dir, server: yield* startServerSide(addresses, pairMesh(addresses, []), env) }
    })
  )
}

/** `openssl s_client` with a certificate of that shape; it stays until the server ends the connection. */
const sClient = Effect.fnUntraced(function* (issuer: TestCa | undefined, shape: LeafShape, ...options: Array<string>) {
  const { dir, server } = yield* Story
  const { host, port } = server.ports.inbound
  const certificate: Array<string> = []
  if (issuer !== undefined) {
    const leaf = yield* Effect.promise(() => issuer.leaf(shape))
    Fs.writeFileSync(Path.join(dir, "leaf.crt"), leaf.certPem)
    Fs.writeFileSync(Path.join(dir, "leaf.key"), leaf.keyPem)
    certificate.push("-cert", Path.join(dir, "leaf.crt"), "-key", Path.join(dir, "leaf.key"))
  }
  const args = ["s_client", "-connect", `${host}:${port}`, "-CAfile", Path.join(dir, "ca"), "-alpn", "h2", "-ign_eof"]
  return yield* start("openssl", [...args, "-noservername", ...certificate, ...options])
})

const CLIENT = { uris: [CLIENT_IDENTITY] }
const HOUR_MS = 3_600_000
const LONG_AGO = { notBefore: new Date(Date.now() - 2 * HOUR_MS), notAfter: new Date(Date.now() - HOUR_MS) }

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("the HBONE listener", (it) => {
  const test = it.effect.skipIf(isMissing("openssl"))

  test("shows openssl TLS 1.3, h2, and a certificate that is nothing but a SPIFFE id", () =>
    Effect.gen(function* () {
      const { ca } = yield* Story
      const client = yield* sClient(ca, CLIENT)
      // a SETTINGS frame of four entries: the tunnel is open, so the client was let in
      yield* Effect.promise(() =>
        eventually(() => client.stdout().includes(Buffer.from([0, 0, 24, 4, 0, 0, 0, 0, 0])), "SETTINGS")
      )
      const shown = String(client.stdout())
      assert.match(shown, /New, TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/)
      assert.include(shown, "ALPN protocol: h2")
      assert.include(shown, "Verify return code: 0 (ok)")
      assert.match(shown, /^subject=\s*$/m)
      const pem = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(shown)
      const x509 = yield* start("openssl", ["x509", "-noout", "-text"])
      x509.stdin.end(pem?.[0] ?? "")
      const { stdout } = yield* Effect.promise(() => x509.ended)
      const name = `X509v3 Subject Alternative Name: critical\\s+URI:${SERVER_IDENTITY}\n`
      assert.match(stdout, new RegExp(name))
      assert.match(stdout, /Extended Key Usage:\s+TLS Web Server Authentication, TLS Web Client Authentication/)
      assert.match(stdout, /NIST CURVE: P-256/)
    }))

  const strangers: ReadonlyArray<readonly [string, (own: TestCa) => Promise<TestCa> | undefined, LeafShape, RegExp]> = [
    ["without a certificate", () => undefined, {}, /did not return a certificate/],
    ["with an expired certificate", async (own) => own, { ...CLIENT, ...LONG_AGO }, /CERT_HAS_EXPIRED/],
    ["with a certificate of another CA", () => makeTestCa({ name: "another" }), CLIENT, /UNABLE_TO_/],
    [
      "of another trust domain",
      async (own) => own,
      { uris: ["spiffe://elsewhere.example/ns/shop/sa/cart"] },
      /trust domain/
    ],
    ["with a certificate for servers only", async (own) => own, { ...CLIENT, eku: ["serverAuth"] }, /INVALID_PURPOSE/]
  ]
  for (const [who, issuerFor, shape, why] of strangers) {
    test(`turns a client away ${who}, and logs why`, () =>
      Effect.gen(function* () {
        const { ca, server } = yield* Story
        const failed = accessLineFrom(server, { direction: "inbound" })
        const issuer = yield* Effect.promise(async () => issuerFor(ca))
        const client = yield* sClient(issuer, shape)
        // ended by the server: s_client by itself would wait for ever
        yield* Effect.promise(() => client.ended)
        const { fields, level, message } = yield* Effect.promise(failed)
        assert.deepStrictEqual([level, message], ["warn", "connection failed"])
        assert.match(fields["error"]!, /^tls error: /)
        assert.match(fields["error"]!, why)
      }))
  }

  test("turns TLS 1.2 away with an alert", () =>
    Effect.gen(function* () {
      const { ca } = yield* Story
      const client = yield* sClient(ca, CLIENT, "-tls1_2")
      const { code, stderr } = yield* Effect.promise(() => client.ended)
      assert.notStrictEqual(code, 0)
      assert.match(stderr, /alert protocol version/)
    }))

  test("turns away a client that offers another protocol only", () =>
    Effect.gen(function* () {
      const { ca } = yield* Story
      const client = yield* sClient(ca, CLIENT, "-alpn", "http/1.1")
      const { stderr } = yield* Effect.promise(() => client.ended)
      assert.match(stderr, /alert no application protocol/)
    }))
})
