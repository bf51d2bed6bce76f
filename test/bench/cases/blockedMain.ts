/**
 * Weft's promise: requests, and the connections that carry them, do not notice a main thread that does nothing for 5 s.
 * It is stopped through the inspector (`Atomics.wait`, so that no processor is taken).
 */
import { setTimeout as after } from "node:timers/promises"
import type { Load } from "../load/Load.ts"
import { blockMainThread } from "../../support/Inspector.ts"
import { mainThreadBlocked } from "../measure.ts"
import type { Running } from "../subjects/Subject.ts"
import { WEFT_HBONE, WEFT_PASSTHROUGH } from "../subjects/names.ts"
import type { Case } from "./Case.ts"

export const blockedMain: Case = {
  name: "blocked-main",
  about: "p99 of requests on 32 new connections, with the main thread idle and with it stopped for 5 s",
  only: [WEFT_PASSTHROUGH, WEFT_HBONE],
  fresh: false,
  run: async (load, running) => {
    const idle = await p99(load, running, LONG_WARM_UP_MS)
    for (const { output } of running.processes) await blockMainThread(output?.() ?? "", BLOCK_MAIN_MS)
    await after(ORDER_MS)
    expectBlocked(running, "did not stop")
    const stopped = await p99(load, running, LOAD.warmUpMs)
    expectBlocked(running, "went on before the measurement was over")
    // the next case must find it awake
    await after(BLOCK_MAIN_MS - LOAD.warmUpMs - LOAD.measureMs + ORDER_MS)
    return [
      { case: "p99, main idle", role: undefined, unit: "us", value: idle },
      { case: "p99, main stopped", role: undefined, unit: "us", value: stopped }
    ]
  }
}

const p99 = async (load: Load, running: Running, warmUpMs: number): Promise<number> => {
  const order = { _tag: "Requests", entry: running.entries.echo, ...LOAD, warmUpMs } as const
  const { failed, p99Us } = await load.measure(order, "Answered", () => undefined)
  if (failed > 0) throw new Error(`${failed} of ${LOAD.connections} connections ended early`)
  return p99Us
}

const expectBlocked = ({ processes }: Running, problem: string) => {
  for (const { pid, role } of processes) {
    if (mainThreadBlocked(pid) === false) throw new Error(`the main thread of the ${role} ${problem}`)
  }
}

const BLOCK_MAIN_MS = 5000
const ORDER_MS = 200
/** The first of the two must not be the slower one because it is the first. */
const LONG_WARM_UP_MS = 1500
const LOAD = { connections: 32, warmUpMs: 500, measureMs: 3500 }
