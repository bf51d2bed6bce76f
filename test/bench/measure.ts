/**
 * What a process costs, read from Linux's /proc: processor seconds of all its threads, resident memory. And the
 * medians of what the rounds gave.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Processor seconds, user and system, of all threads of the process so far. Resolution: one clock tick, 10 ms. */
export const cpuSeconds = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  // the name in parentheses may hold spaces; what follows it starts with field 3
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond()
}

/** Resident memory of the process in bytes, pages shared with others counted in full. */
export const residentBytes = (pid: number): number => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
  return Number(/^Rss:\s+(\d+) kB/m.exec(rollup)?.[1]) * 1024
}

/** Direct children: nginx's worker under its master. */
export const childrenOf = (pid: number): ReadonlyArray<number> =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number)

/** True when the process's first thread waits in `futex`, where `Atomics.wait` puts it; undefined when not readable. */
export const mainThreadBlocked = (pid: number): boolean | undefined => {
  const futex = { x64: "202", arm64: "98" }[process.arch as string]
  try {
    return futex === undefined
      ? undefined
      : readFileSync(`/proc/${pid}/task/${pid}/syscall`, "utf8").split(" ")[0] === futex
  } catch {
    return undefined
  }
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Of at least one value. */
export const spread = (values: ReadonlyArray<number>): Spread => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? Number.NaN
  const middle = sorted.length / 2
  return {
    median: sorted.length % 2 === 1 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2,
    min: at(0),
    max: at(sorted.length - 1)
  }
}

const ticksPerSecond = (): number => (ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" })))
let ticks: number | undefined
