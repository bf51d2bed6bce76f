/** A histogram of latencies: one bucket per microsecond up to 100 ms, one per millisecond above, up to 10 s. */
export class Latencies {
  count = 0
  readonly #fine = new Uint32Array(FINE_US)
  readonly #coarse = new Uint32Array(COARSE_MS)

  add(ms: number): void {
    const us = Math.floor(ms * 1000)
    this.count++
    if (us < FINE_US) this.#fine[us]!++
    else this.#coarse[Math.min(Math.floor(ms), COARSE_MS - 1)]!++
  }

  clear(): void {
    this.count = 0
    this.#fine.fill(0)
    this.#coarse.fill(0)
  }

  /** The latency that the given share (0 to 1) of all stayed at or below, in microseconds. */
  percentileUs(share: number): number {
    let left = Math.ceil(this.count * share)
    for (let us = 0; us < FINE_US; us++) if ((left -= this.#fine[us]!) <= 0) return us
    for (let ms = 0; ms < COARSE_MS; ms++) if ((left -= this.#coarse[ms]!) <= 0) return ms * 1000
    return COARSE_MS * 1000
  }
}

const FINE_US = 100_000
const COARSE_MS = 10_000
