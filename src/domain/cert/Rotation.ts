/**
 * When a certificate is to be renewed, and how long to wait after a failure (reference datapath §8.4). Times are epoch
 * milliseconds, delays milliseconds.
 */
import { backoffDelay } from "../Backoff.ts"
import type { CertificateBundle } from "../shard/Message.ts"

/** Half of its life. */
export const renewAt = (notBefore: number, notAfter: number): number => notBefore + (notAfter - notBefore) / 2

/** Also true for a certificate that is not valid yet (our clock or the CA's was wrong) or has no sensible dates. */
export const needsRenewal = (bundle: Pick<CertificateBundle, "notBefore" | "notAfter">, now: number): boolean =>
  !(now >= bundle.notBefore && now < renewAt(bundle.notBefore, bundle.notAfter))

/** The wait after the `failures`-th failure in a row: from a second to 150 s. */
export const retryDelay = (failures: number, random: number): number =>
  backoffDelay({ firstMs: 1_000, mostMs: 150_000 }, failures, random)
