/**
 * The wait in milliseconds after the `failures`-th failure in a row (1, 2, …): `firstMs`, doubled each time up to `mostMs`,
 * and 20 % more or less by `random` (0 ≤ random < 1), so that a fleet that was refused does not come back in step.
 */
export const backoffDelay = (
  { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number },
  failures: number,
  random: number
): number => Math.min(firstMs * 2 ** Math.max(0, failures - 1), mostMs) * (0.8 + 0.4 * random)
