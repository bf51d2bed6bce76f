/**
 * `npm run bench`: weft beside other ways to carry TCP, measured in one run. Rounds are interleaved (every subject of
 * every case once, then again), so that a slow minute of the machine hits all alike. Shows the targets, never fails on
 * them.
 */
import { writeFile } from "node:fs/promises"
import { readArguments } from "./arguments.ts"
import { blockedMain } from "./cases/blockedMain.ts"
import type { Case } from "./cases/Case.ts"
import { connections } from "./cases/connections.ts"
import { memory } from "./cases/memory.ts"
import { requests } from "./cases/requests.ts"
import { throughput } from "./cases/throughput.ts"
import { endAll, endAllNow } from "./children.ts"
import { Load } from "./load/Load.ts"
import { Results } from "./Results.ts"
import { direct } from "./subjects/direct.ts"
import { h2Pair } from "./subjects/h2Pair.ts"
import { haproxy } from "./subjects/haproxy.ts"
import { nginx } from "./subjects/nginx.ts"
import { pipe } from "./subjects/pipe.ts"
import type { Running, Subject } from "./subjects/Subject.ts"
import { weftHbone, weftPassthrough } from "./subjects/weft.ts"
import { formatResults, formatTargets } from "./table.ts"

const SUBJECTS: ReadonlyArray<Subject> = [direct, haproxy, nginx, pipe, weftPassthrough, h2Pair, weftHbone]
const CASES: ReadonlyArray<Case> = [throughput, requests, connections, memory, blockedMain]

const results = new Results()
const notes: Array<string> = []
const started = new Map<Subject, Running>()

const main = async (rounds: number, cases: ReadonlyArray<Case>): Promise<void> => {
  const load = await Load.start()
  const subjects = SUBJECTS.filter((subject) => {
    const missing = subject.missing()
    if (missing !== undefined) note(`${subject.name} skipped: ${missing}`)
    return missing === undefined
  })
  for (let round = 1; round <= rounds; round++) {
    for (const it of cases) {
      for (const subject of subjects) {
        if (it.only !== undefined && !it.only.includes(subject.name)) continue
        progress(`round ${round} of ${rounds}: ${it.name}, ${subject.name}`)
        try {
          results.add(subject.name, await once(load, it, subject))
        } catch (cause) {
          note(
            `${subject.name} failed in ${it.name}, round ${round}: ${cause instanceof Error ? cause.message : cause}`
          )
        }
      }
    }
  }
  progress("")
}

const once = async (load: Load, it: Case, subject: Subject) => {
  const known = it.fresh ? undefined : started.get(subject)
  const running = known ?? (await subject.start(load.targets(SUBJECTS.indexOf(subject))))
  if (!it.fresh) started.set(subject, running)
  try {
    // programs that compile while they run are slower at first, and the first round is not about that
    if (!it.fresh && known === undefined) await connections.run(load, running)
    const samples = await it.run(load, running)
    if (it.fresh) await running.stop()
    return samples
  } catch (cause) {
    // whatever state it is in, the next case starts it anew
    if (!it.fresh) started.delete(subject)
    await running.stop()
    throw cause
  }
}

const note = (text: string) => {
  progress("")
  console.error(text)
  notes.push(text)
}

const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`)
}

const parsed = readArguments(process.argv.slice(2), CASES)
if ("text" in parsed) {
  ;(parsed.exitCode === 0 ? process.stdout : process.stderr).write(parsed.text)
  process.exit(parsed.exitCode)
}
process.on("exit", endAllNow)
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))

await main(parsed.rounds, parsed.only === undefined ? CASES : CASES.filter(({ name }) => name === parsed.only))
await endAll()
const rows = results.rows()
const title = `Node ${process.version}, medians of ${parsed.rounds} rounds\n`
const sections = [title, formatResults(rows), formatTargets(rows), notes.join("\n")]
console.log(sections.filter((text) => text !== "").join("\n"))
if (parsed.json !== undefined) await writeFile(parsed.json, `${JSON.stringify(rows, undefined, 2)}\n`)
