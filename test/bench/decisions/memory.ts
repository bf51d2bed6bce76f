/** What the whole process weighs with a large mesh: main thread and two real shards, told of it as they always are. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { largeMesh, sizeOf } from "../../support/largeMesh.ts"
import { grouped, type Measured } from "./Measured.ts"
import { writeBatches } from "./meshBytes.ts"

/** Growth in bytes; `seconds` until every shard had applied all. */
export interface MeshMemory {
  readonly settled: number
  readonly collected: number
  readonly shared: number
  /** Main thread, then the shards. */
  readonly heaps: ReadonlyArray<number>
  readonly seconds: number
}

export const memory = async (): Promise<ReadonlyArray<Measured>> => {
  const folder = mkdtempSync(join(tmpdir(), "weft-bench-"))
  const file = join(folder, "batches")
  writeBatches(file, largeMesh(sizeOf(WORKLOADS)))
  const child = fork(new URL("memoryProcess.ts", import.meta.url), [file])
  const [answer] = await once(child, "message")
  // what the process sends last
  const { collected, heaps, seconds, settled, shared } = answer as MeshMemory
  const exited = once(child, "exit")
  child.disconnect()
  await exited
  rmSync(folder, { recursive: true })
  const subject = (what: string) => `${grouped(WORKLOADS)} workloads, two shards: ${what}`
  const each = (what: string, bytes: number): Measured => ({
    case: "memory of a mesh",
    subject: subject(what),
    unit: "bytes each",
    value: bytes / WORKLOADS
  })
  return [
    each("whole process, settled", settled),
    each("whole process, collected", collected),
    each("shared", shared),
    ...heaps.map((bytes, index) => each(index === 0 ? "heap of the main thread" : `heap of shard ${index}`, bytes)),
    { case: "a mesh in all threads", subject: subject("until applied"), unit: "s", value: seconds }
  ]
}

const WORKLOADS = 100_000
