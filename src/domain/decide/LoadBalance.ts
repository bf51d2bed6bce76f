/**
 * Which endpoint of a service a connection goes to, and on which port (reference state §4.2 to §4.5). One choice for each
 * connection, in proportion to capacity; or, if the load is known, the less loaded of two chosen so.
 *
 * Who can be chosen depends on everything but chance, so it is worked out once, for all connections that ask alike, and a
 * choice is a binary search. The pools that are kept are a memo of a pure function, nothing else: endpoints are replaced
 * when anything of them changes, and their pools go with them.
 */
import type { Endpoint, Endpoints, WorkloadFacts } from "../mesh/Mesh.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import type { Decision } from "./Decision.ts"
import { eligible, type ResolutionMode, targetPort, type View, viewOf } from "./Eligible.ts"
import { type Skipped, Step } from "./Trace.ts"

export interface Choice {
  readonly workload: Workload
  readonly port: number
}

/** Undefined: the service has no such port, or nobody who could answer on it. `port` is the service's. */
export const chooseEndpoint = (
  { draw, mesh, request, trace }: Decision,
  service: Service,
  port: number,
  mode: ResolutionMode
): Choice | undefined => {
  const view = viewOf(request.source, service, port, mode)
  const endpoints = mesh.endpoints(service)
  const endpoint = drawFrom(poolOf(endpoints, view), draw, request.loadOf)
  const workload = endpoint && mesh.workloadByUid(endpoint.workload.uid)
  const choice = endpoint && workload && { workload, port: targetPort(view, endpoint) }
  if (trace !== undefined) {
    const skipped: Array<{ readonly workload: WorkloadFacts; readonly why: Skipped }> = []
    const left = eligible(endpoints, view, (workload, why) => skipped.push({ workload, why }))
    trace(
      Step.Balance({
        service,
        port,
        portKnown: view.servicePort !== undefined,
        eligible: left.map(({ workload }) => workload),
        skipped,
        chosen: choice?.workload,
        targetPort: choice?.port
      })
    )
  }
  return choice
}

/** Those who can be chosen, and where the share of each ends when their capacities are laid end to end. */
interface Pool {
  readonly endpoints: ReadonlyArray<Endpoint>
  readonly ends: Float64Array
}

interface Memo {
  readonly service: Service
  readonly pools: Array<{ readonly view: View; readonly pool: Pool }>
}

const poolOf = (endpoints: Endpoints, view: View): Pool => {
  // ports that nobody has can be asked for in any number
  if (view.servicePort === undefined && view.mode === "Standard") return EMPTY
  let memo = MEMOS.get(endpoints)
  if (memo === undefined || memo.service !== view.service) {
    memo = { service: view.service, pools: [] }
    MEMOS.set(endpoints, memo)
  }
  const known = memo.pools.find((entry) => isAlike(entry.view, view))
  if (known !== undefined) return known.pool
  const pool = makePool(eligible(endpoints, view))
  if (memo.pools.length === MAX_POOLS) memo.pools.shift()
  memo.pools.push({ view, pool })
  return pool
}

/** Of one service, so the preferences are the same. */
const isAlike = (a: View, b: View): boolean =>
  a.port === b.port && a.mode === b.mode && a.source.every((value, index) => value === b.source[index])

/** Capacities have 32 bits, so sums are exact. */
const makePool = (endpoints: ReadonlyArray<Endpoint>): Pool => {
  const ends = new Float64Array(endpoints.length)
  let sum = 0
  for (const [index, { workload }] of endpoints.entries()) ends[index] = sum += workload.capacity
  return { endpoints, ends }
}

/** In proportion to capacity; with `loadOf`, the one of two such with less open connections for its capacity. */
const drawFrom = (
  { endpoints, ends }: Pool,
  draw: () => number,
  loadOf: ((uid: string) => number) | undefined
): Endpoint | undefined => {
  const total = ends.at(-1) ?? 0
  const index = indexAt(ends, draw() * total)
  const first = endpoints[index]
  if (first === undefined || loadOf === undefined || endpoints.length === 1) return first
  // the second one is another: the share of the first is left out
  const a = first.workload
  const point = draw() * (total - a.capacity)
  const start = ends[index]! - a.capacity
  const second = endpoints[indexAt(ends, point < start ? point : point + a.capacity)]!
  const b = second.workload
  return loadOf(b.uid) * a.capacity < loadOf(a.uid) * b.capacity ? second : first
}

/** The first index whose end lies beyond `point`. */
const indexAt = (ends: Float64Array, point: number): number => {
  let low = 0
  let high = ends.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ends[middle]! > point) high = middle
    else low = middle + 1
  }
  return low
}

const EMPTY: Pool = { endpoints: [], ends: new Float64Array() }

const MEMOS = new WeakMap<Endpoints, Memo>()

/** Of one service: a node's own sources differ in few places, and a service has few ports. */
const MAX_POOLS = 16
