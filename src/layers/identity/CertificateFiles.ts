/**
 * One certificate that somebody else keeps fresh in files: a mounted Secret, cert-manager's CSI driver, an operator. The
 * files are read anew whenever the certificate is asked for, and told of when they change.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { IssuerSettings } from "../../domain/config/ControlPlane.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import { readText, whenFilesChange } from "../os/FileChanges.ts"
import { CertificateError } from "./CertificateError.ts"
import { certificateBlocks, issuedBundle } from "./IssuedBundle.ts"
import { Issuer } from "./Issuer.ts"

export type CertificateFilesOptions = Omit<Extract<IssuerSettings, { readonly _tag: "Files" }>, "_tag">

export const layerCertificateFiles = (options: CertificateFilesOptions) => Layer.effect(Issuer, make(options))

const make = Effect.fnUntraced(function* (options: CertificateFilesOptions) {
  const hub = yield* Effect.acquireRelease(PubSub.unbounded<Spiffe>(), PubSub.shutdown)
  // those for whom it could not be issued, too: files may be mended
  const asked = new Set<Spiffe>()
  yield* whenFilesChange(
    [options.files.certPath, options.files.keyPath, options.rootsPath],
    Effect.suspend(() => PubSub.publishAll(hub, asked))
  )
  return Issuer.of({
    issue: (identity) =>
      Effect.suspend(() => {
        asked.add(identity)
        return Effect.retry(read(identity, options), AGAIN)
      }),
    changed: Stream.fromPubSub(hub),
    forget: (identity) => Effect.sync(() => void asked.delete(identity))
  })
})

const read = Effect.fnUntraced(function* (identity: Spiffe, { files, rootsPath }: CertificateFilesOptions) {
  const text = (path: string) =>
    Effect.mapError(readText(path), ({ message }) => new CertificateError({ identity, detail: message }))
  const [chain, key, roots] = yield* Effect.all([text(files.certPath), text(files.keyPath), text(rootsPath)], {
    concurrency: "unbounded"
  })
  const issued = {
    chain: certificateBlocks(chain),
    key,
    roots: certificateBlocks(roots),
    from: { chain: files.certPath, key: files.keyPath, roots: rootsPath }
  }
  return yield* Effect.fromResult(issuedBundle(identity, issued, yield* Clock.currentTimeMillis))
})

/** The files may be in the middle of being replaced, one after the other. */
const AGAIN = { times: 4, schedule: Schedule.spaced("100 millis") }
