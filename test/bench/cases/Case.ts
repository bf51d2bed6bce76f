/** One thing that is measured, on one subject at a time. */
import type { Load } from "../load/Load.ts"
import { cpuSeconds } from "../measure.ts"
import type { Running } from "../subjects/Subject.ts"

export interface Case {
  /** What `--only` takes. */
  readonly name: string
  readonly about: string
  /** Subjects that this case is about; all when undefined. */
  readonly only?: ReadonlyArray<string>
  /** Each round starts the subject anew, because what happened before would show. */
  readonly fresh: boolean
  readonly run: (load: Load, running: Running) => Promise<ReadonlyArray<Sample>>
}

/** What one round gave. `role` is the process it belongs to, where it is not the whole subject. */
export interface Sample {
  readonly case: string
  readonly role: string | undefined
  readonly unit: string
  readonly value: number
}

/** Processor seconds of each process from now until the returned function is called. */
export const cpuMeter = ({ processes }: Running): (() => ReadonlyArray<number>) => {
  const now = () => processes.map(({ pid }) => cpuSeconds(pid))
  const before = now()
  return () => now().map((seconds, index) => seconds - (before[index] ?? 0))
}

/** One sample for each process, and one for their sum when there are several; none without processes. */
export const perProcess = (
  { processes }: Pick<Running, "processes">,
  name: string,
  unit: string,
  values: ReadonlyArray<number>
): ReadonlyArray<Sample> => {
  if (processes.length === 0) return []
  const sum = { case: name, role: undefined, unit, value: values.reduce((a, b) => a + b, 0) }
  if (processes.length < 2) return [sum]
  return [sum, ...processes.map(({ role }, index) => ({ case: name, role, unit, value: values[index] ?? 0 }))]
}
