/**
 * `npm run bench:decisions [PART…]`: what decisions cost, and the state that they ask. Each part runs in a process of its
 * own; shows the targets, never fails on them.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { balance } from "./balance.ts"
import { insert } from "./insert.ts"
import { lookup } from "./lookup.ts"
import type { Measured } from "./Measured.ts"
import { memory } from "./memory.ts"
import { rbac } from "./rbac.ts"
import { route } from "./route.ts"

type Part = () => ReadonlyArray<Measured> | Promise<ReadonlyArray<Measured>>

const PARTS: ReadonlyMap<string, Part> = new Map<string, Part>(
  Object.entries({ rbac, balance, lookup, route, insert, memory })
)

/** At most so much, in the unit of the line: what the project holds itself to. */
const TARGETS: ReadonlyArray<readonly [name: string, subject: string, atMost: number]> = [
  ["verdict", "", 15],
  ["route and verdict", "100 000 workloads, 1 000 in use", 20],
  ["memory of a mesh", "100 000 workloads, two shards: whole process", 3_000]
]

const show = ({ case: name, subject, unit, value }: Measured): void => {
  const [, , atMost] = TARGETS.find(([start, of]) => name.startsWith(start) && subject.startsWith(of)) ?? []
  const target = atMost === undefined ? "" : `  at most ${atMost}: ${value <= atMost ? "met" : "missed"}`
  console.log(`${name.padEnd(42)}${subject.padEnd(42)}${value.toPrecision(3).padStart(10)} ${unit}${target}`)
}

const inOwnProcess = async (part: string): Promise<void> => {
  const child = fork(import.meta.filename, [part], { env: { ...process.env, WEFT_BENCH_PART: part } })
  const exited = once(child, "exit")
  // what `send` below gave
  child.on("message", (lines) => (lines as ReadonlyArray<Measured>).forEach(show))
  await exited
}

const own = PARTS.get(process.env["WEFT_BENCH_PART"] ?? "")
const asked = process.argv.slice(2)
if (own !== undefined) {
  const lines = await own()
  process.send?.(lines, () => process.exit(0))
} else if (asked.every((part) => PARTS.has(part))) {
  for (const part of asked.length === 0 ? PARTS.keys() : asked) await inOwnProcess(part)
} else {
  console.log(`Usage: npm run bench:decisions [-- PART…], for example npm run bench:decisions -- rbac
Parts: ${[...PARTS.keys()].join(", ")}`)
  process.exitCode = asked.includes("--help") ? 0 : 1
}
