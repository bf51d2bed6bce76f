/** 32 connections that each send 64 bytes and wait for 64 bytes: requests per second, median and p99 latency. */
import { type Case, cpuMeter, perProcess } from "./Case.ts"

export const requests: Case = {
  name: "requests",
  about: "64 bytes there and back on 32 connections: rate, latency p50 and p99, processor time per request",
  fresh: false,
  run: async (load, running) => {
    let cpu = () => [] as ReadonlyArray<number>
    const order = { _tag: "Requests", entry: running.entries.echo, ...LOAD } as const
    const result = await load.measure(order, "Answered", () => (cpu = cpuMeter(running)))
    if (result.failed > 0) throw new Error(`${result.failed} of ${LOAD.connections} connections ended early`)
    return [
      {
        case: "requests",
        role: undefined,
        unit: "1/s",
        value: result.requests / (result.elapsedMs / 1000)
      },
      { case: "requests: p50", role: undefined, unit: "us", value: result.p50Us },
      { case: "requests: p99", role: undefined, unit: "us", value: result.p99Us },
      ...perProcess(
        running,
        "requests: processor",
        "us each",
        cpu().map((seconds) => (seconds * 1e6) / result.requests)
      )
    ]
  }
}

const LOAD = { connections: 32, warmUpMs: 400, measureMs: 1500 }
