/** One connection on which the server sends as fast as it can: speed, and processor time for each gigabyte. */
import { type Case, cpuMeter, perProcess } from "./Case.ts"

export const throughput: Case = {
  name: "throughput",
  about: "one stream, server to client: speed, processor seconds per gigabyte and process",
  fresh: false,
  run: async (load, running) => {
    let cpu = () => [] as ReadonlyArray<number>
    const order = { _tag: "Stream", entry: running.entries.source, warmUpMs: 400, measureMs: 1500 } as const
    const { bytes, elapsedMs } = await load.measure(order, "Streamed", () => (cpu = cpuMeter(running)))
    const gigabytes = bytes / 1e9
    return [
      { case: "throughput", role: undefined, unit: "GB/s", value: gigabytes / (elapsedMs / 1000) },
      ...perProcess(
        running,
        "throughput: processor",
        "s/GB",
        cpu().map((seconds) => seconds / gigabytes)
      )
    ]
  }
}
