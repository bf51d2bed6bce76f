/**
 * When a certificate is to be renewed, and how long to wait after a failure (reference datapath §8.4). Times are epoch
 * milliseconds, delays milliseconds.
 */
import type { CertificateBundle } from "../shard/Message.ts"

/** Half of its life. */
export const renewAt = (notBefore: number, notAfter: number): number => notBefore + (notAfter - notBefore) / 2

/** Also true for a certificate that is not valid yet (our clock or the CA's was wrong) or has no sensible dates. */
export const needsRenewal = (bundle: Pick<CertificateBundle, "notBefore" | "notAfter">, now: number): boolean =>
  !(now >= bundle.notBefore && now < renewAt(bundle.notBefore, bundle.notAfter))

/**
 * The wait after the `failures`-th failure in a row (1, 2, …): a second, doubled each time up to 150 s, and 20 % more
 * or less by `random` (0 ≤ random < 1), so that a fleet whose CA was away does not come back in step.
 */
export const retryDelay = (failures: number, random: number): number =>
  Math.min(1000 * 2 ** Math.max(0, failures - 1), 150_000) * (0.8 + 0.4 * random)
