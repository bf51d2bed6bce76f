/** Connect, one byte there and back, close, in 16 loops at once: connections per second, processor time for each. */
import { type Case, cpuMeter, perProcess } from "./Case.ts"

export const connections: Case = {
  name: "connections",
  about: "connect, one byte there and back, close: rate, processor time per connection and process",
  fresh: false,
  run: async (load, running) => {
    let cpu = () => [] as ReadonlyArray<number>
    const order = { _tag: "Connect", entry: running.entries.echo, ...LOAD } as const
    const result = await load.measure(order, "Connected", () => (cpu = cpuMeter(running)))
    if (result.failed > 0) throw new Error(`${result.failed} connections failed, ${result.connections} succeeded`)
    return [
      {
        case: "connections",
        role: undefined,
        unit: "1/s",
        value: result.connections / (result.elapsedMs / 1000)
      },
      ...perProcess(
        running,
        "connections: processor",
        "us each",
        cpu().map((seconds) => (seconds * 1e6) / result.connections)
      )
    ]
  }
}

const LOAD = { concurrency: 16, warmUpMs: 400, measureMs: 1500 }
