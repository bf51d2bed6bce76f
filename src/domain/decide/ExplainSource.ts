/** The workload that somebody means by `namespace/name`, or by its uid. */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { Workload } from "../mesh/Workload.ts"
import { listed } from "./ExplainWords.ts"

export class UnknownSource extends Data.TaggedError("UnknownSource")<{
  readonly given: string
  /** Names that look like it. */
  readonly nearest: ReadonlyArray<string>
  /** The uids of those that all have this name. */
  readonly same: ReadonlyArray<string>
}> {
  override get message() {
    const { given, nearest, same } = this
    if (same.length > 0) {
      return `${same.length} workloads are called ${given}: say which one by its uid: ${listed(same, "or", SHOWN)}`
    }
    const none = `the mesh has no workload ${JSON.stringify(given)}`
    if (nearest.length > 0) return `${none}; did you mean ${listed(nearest, "or", SHOWN)}?`
    return given.includes("/") ? `${none}; it has no workloads at all` : `${none}; it is given as NAMESPACE/NAME`
  }
}

type Named = Pick<Workload, "name" | "namespace" | "uid" | "workloadName">

export const findSource = <W extends Named>(
  workloads: ReadonlyArray<W>,
  given: string
): Result.Result<W, UnknownSource> => {
  const found = workloads.filter((each) => nameOf(each) === given)
  const [only] = found.length === 1 ? found : workloads.filter(({ uid }) => uid === given)
  if (only !== undefined) return Result.succeed(only)
  return Result.fail(
    new UnknownSource({ given, same: found.map(({ uid }) => uid), nearest: nearest(workloads, given) })
  )
}

/** Pods of the deployment of that name first, then what has the name in another namespace, then what is spelt most alike. */
const nearest = (workloads: ReadonlyArray<Named>, given: string): ReadonlyArray<string> => {
  const name = given.slice(given.lastIndexOf("/") + 1)
  const distance = (each: Named) => {
    if (`${each.namespace}/${each.workloadName}` === given) return 0
    if (each.name === name || each.workloadName === name) return 1
    return 1 + edits(nameOf(each), given)
  }
  const near = workloads.map((each) => ({ name: nameOf(each), distance: distance(each) }))
  return Array.from(new Set(near.toSorted((a, b) => a.distance - b.distance).map((each) => each.name))).slice(0, SHOWN)
}

/** Levenshtein's distance: how many letters have to be changed, put in or taken out. */
const edits = (a: string, b: string): number => {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(changed, above[j]! + 1, row[j - 1]! + 1))
    }
    above = row
  }
  return above[b.length]!
}

const nameOf = ({ name, namespace }: Named): string => `${namespace}/${name}`

const SHOWN = 5
