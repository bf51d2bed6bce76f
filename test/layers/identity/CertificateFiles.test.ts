import * as Crypto from "node:crypto"
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { formatIdentity, type Spiffe } from "../../../src/domain/Identity.ts"
import { layerCertificateFiles } from "../../../src/layers/identity/CertificateFiles.ts"
import { Issuer } from "../../../src/layers/identity/Issuer.ts"
import { makeTestCa } from "../../support/TestCa.ts"

const idOf = (serviceAccount: string) =>
  formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount })
const [cart, pay] = [idOf("cart"), idOf("pay")]

const ca = await makeTestCa()
const other = await makeTestCa({ name: "other root" })
const newPair = (identity: Spiffe = cart) => ca.leaf({ uris: [identity] })

const doing = <A>(step: () => Promise<A>) => Effect.promise(step)
/** As Node writes it. */
const pemOf = (pem: string) => new Crypto.X509Certificate(pem).toString()

interface Generation {
  readonly cert: string
  readonly key: string
  readonly roots: string
}

const generation = async (): Promise<Generation> => {
  const { certPem, keyPem } = await newPair()
  return { cert: certPem, key: keyPem, roots: ca.certPem }
}

/** An issuer of the files of a temporary folder, and a clock that is at the time of now. */
const issuing = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    doing(() => mkdtemp(join(tmpdir(), "weft-files-"))),
    (path) => doing(() => rm(path, { recursive: true }))
  )
  const at = (name: string) => join(folder, name)
  const files = { certPath: at("cert.pem"), keyPath: at("key.pem") }
  const rootsPath = at("roots.pem")
  yield* TestClock.setTime(Date.now())

  const start = Effect.gen(function* () {
    const issuer = yield* Effect.provide(Issuer, yield* Layer.build(layerCertificateFiles({ files, rootsPath })))
    const changed = yield* Queue.unbounded<Spiffe>()
    yield* Effect.forkScoped(
      Stream.runForEach(issuer.changed, (identity) => Queue.offer(changed, identity)),
      { startImmediately: true }
    )
    const turn = yield* Semaphore.make(1)
    const tick = Effect.andThen(
      TestClock.adjust("50 millis"),
      doing(() => new Promise((resolve) => setImmediate(resolve)))
    )
    yield* Effect.forkScoped(Effect.forever(turn.withPermit(tick)))
    return {
      ...issuer,
      refusal: (identity: Spiffe) => Effect.map(Effect.flip(issuer.issue(identity)), ({ message }) => message),
      news: Queue.take(changed),
      quiet: Effect.map(Queue.size(changed), (size) => size === 0),
      /** While no time passes. */
      still: turn.withPermit
    }
  })
  const write = ({ cert, key, roots }: Generation) =>
    doing(async () => {
      await writeFile(files.certPath, cert)
      await writeFile(files.keyPath, key)
      await writeFile(rootsPath, roots)
    })
  return { folder, at, files, rootsPath, start, write }
})

/** Longer than it takes to read the files once. */
const aWhile = (path: string) =>
  Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], () => doing(() => readFile(path)), { discard: true })

describe("CertificateFiles", () => {
  it.effect("what is in the files is issued, to whom it is for", () =>
    Effect.gen(function* () {
      const { start, write } = yield* issuing
      const intermediate = yield* doing(() => ca.intermediate())
      const { certPem, keyPem } = yield* doing(() => intermediate.leaf({ uris: [cart] }))
      const [leaf, between, root, second] = [certPem, intermediate.certPem, ca.certPem, other.certPem].map(pemOf)
      const key = Crypto.createPrivateKey(keyPem)
      const forms = [keyPem, key.export({ type: "sec1", format: "pem" }).toString()]
      const issuer = yield* start
      for (const form of forms) {
        yield* write({ cert: `leaf\n${leaf}\n\n${between}`, key: form, roots: `${root}# and\n${second}` })
        const bundle = yield* issuer.issue(cart)
        const { validFromDate, validToDate } = new Crypto.X509Certificate(certPem)
        assert.deepStrictEqual(bundle, {
          identity: cart,
          chain: `${leaf}${between}`,
          key: keyPem,
          roots: `${root}${second}`,
          notBefore: validFromDate.getTime(),
          notAfter: validToDate.getTime()
        })
        // asked for renewal while nobody has renewed: the same again
        assert.deepStrictEqual(yield* issuer.issue(cart), bundle)
      }
    })
  )

  it.effect("what cannot be used is refused by name", () =>
    Effect.gen(function* () {
      const { files, rootsPath, start, write } = yield* issuing
      const good = yield* doing(generation)
      const issuer = yield* start
      const refused = Effect.fnUntraced(function* (wrong: Partial<Generation>, ...details: ReadonlyArray<string>) {
        yield* write({ ...good, ...wrong })
        const message = yield* issuer.refusal(cart)
        for (const detail of details) assert.include(message, detail)
      })
      const [theirs, past, future, nobody] = yield* doing(() =>
        Promise.all([
          newPair(pay),
          ca.leaf({ uris: [cart], notAfter: new Date(Date.now() - 60_000) }),
          ca.leaf({ uris: [cart], notBefore: new Date(Date.now() + 60_000) }),
          ca.leaf({ uris: [] })
        ])
      )
      const encrypted = Crypto.createPrivateKey(good.key)
        .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open" })
        .toString()
      const certificate = (pair: { readonly certPem: string; readonly keyPem: string }) => ({
        cert: pair.certPem,
        key: pair.keyPem
      })
      yield* refused(certificate(theirs), `no certificate for ${cart}: ${files.certPath}: it is of "${pay}"`)
      yield* refused(certificate(nobody), `${files.certPath}: it is of nobody`)
      yield* refused(certificate(past), `${files.certPath}: expired at`)
      yield* refused(certificate(future), `${files.certPath}: not valid before`, "clock")
      yield* refused({ cert: "" }, `${files.certPath}: there is no certificate`)
      yield* refused({ cert: good.cert.replace(/M/g, "A") }, `${files.certPath}: certificate 1 cannot be read`)
      yield* refused({ key: theirs.keyPem }, `${files.keyPath}: not the key of the certificate from ${files.certPath}`)
      yield* refused({ key: "" }, `${files.keyPath}: not a private key that is not encrypted`)
      yield* refused({ key: encrypted }, `${files.keyPath}: not a private key that is not encrypted`)
      yield* refused({ roots: good.key }, `${rootsPath}: there is no certificate to trust`)
      yield* refused({ roots: `${ca.certPem}${ca.certPem.replace(/M/g, "A")}` }, `${rootsPath}: certificate 2 cannot`)
      yield* write(good)
      assert.strictEqual((yield* issuer.issue(cart)).identity, cart)
    })
  )

  it.effect("a file that is missing is named; when it is there, it is told to whoever asked", () =>
    Effect.gen(function* () {
      const { files, start, write } = yield* issuing
      const good = yield* doing(generation)
      yield* write(good)
      yield* doing(() => rm(files.keyPath))
      const issuer = yield* start
      assert.match(yield* issuer.refusal(cart), /key\.pem cannot be read: .*ENOENT/)
      yield* doing(() => mkdir(files.keyPath))
      assert.match(yield* issuer.refusal(cart), /key\.pem cannot be read/)
      yield* doing(() => rm(files.keyPath, { recursive: true }))
      yield* write(good)
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).chain, pemOf(good.cert))
    })
  )

  it.effect("a pair caught half-written is read again", () =>
    Effect.gen(function* () {
      const { files, start, write } = yield* issuing
      const [first, second] = yield* doing(() => Promise.all([generation(), generation()]))
      yield* write(first)
      const issuer = yield* start
      const issued = yield* issuer.still(
        Effect.gen(function* () {
          yield* doing(() => writeFile(files.certPath, second.cert))
          const issued = yield* Effect.forkScoped(issuer.issue(cart), { startImmediately: true })
          yield* aWhile(files.certPath)
          assert.isUndefined(issued.pollUnsafe())
          yield* doing(() => writeFile(files.keyPath, second.key))
          return issued
        })
      )
      assert.strictEqual((yield* Fiber.join(issued)).chain, pemOf(second.cert))
    })
  )

  it.effect("renewed in place, other roots: told to whoever was issued it, and not forgotten", () =>
    Effect.gen(function* () {
      const { rootsPath, start, write } = yield* issuing
      const [first, second] = yield* doing(() => Promise.all([generation(), generation()]))
      yield* write(first)
      const issuer = yield* start
      yield* issuer.issue(cart)
      yield* issuer.refusal(pay)
      yield* issuer.forget(pay)
      yield* issuer.still(write(second))
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).chain, pemOf(second.cert))
      yield* issuer.still(doing(() => writeFile(rootsPath, `${ca.certPem}${other.certPem}`)))
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).roots, `${pemOf(ca.certPem)}${pemOf(other.certPem)}`)
      assert.isTrue(yield* issuer.quiet)
    })
  )

  it.effect("behind links that are swapped, as the kubelet does with a Secret", () =>
    Effect.gen(function* () {
      const { at, files, rootsPath, start } = yield* issuing
      const [first, second] = yield* doing(() => Promise.all([generation(), generation()]))
      const put = (name: string, { cert, key, roots }: Generation) =>
        doing(async () => {
          await mkdir(at(name))
          await writeFile(join(at(name), "cert.pem"), cert)
          await writeFile(join(at(name), "key.pem"), key)
          await writeFile(join(at(name), "roots.pem"), roots)
          await symlink(name, at("..data_tmp"))
          await rename(at("..data_tmp"), at("..data"))
        })
      yield* put("..one", first)
      yield* doing(async () => {
        for (const path of [files.certPath, files.keyPath, rootsPath])
          await symlink(path.replace(at(""), "..data/"), path)
      })
      const issuer = yield* start
      assert.strictEqual((yield* issuer.issue(cart)).chain, pemOf(first.cert))
      yield* put("..two", second)
      yield* doing(() => rm(at("..one"), { recursive: true }))
      assert.strictEqual(yield* issuer.news, cart)
      assert.strictEqual((yield* issuer.issue(cart)).chain, pemOf(second.cert))
      assert.isTrue(yield* issuer.quiet)
    })
  )
})
