/**
 * What it takes to be told of a mesh: as a shard is, in slices between which it serves, by batches of 10 000 resources; and
 * of many endpoints of one service at once, which must not cost more each than few.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { stageBatches } from "../../../src/domain/mesh/StageBatches.ts"
import { MeshReplica } from "../../../src/layers/mesh/MeshReplica.ts"
import { largeMesh, sizeOf } from "../../support/largeMesh.ts"
import { longestStretch } from "../../support/longestStretch.ts"
import { spread } from "../measure.ts"
import { grouped, type Measured } from "./Measured.ts"
import { msOf } from "./time.ts"

export const insert = async (): Promise<ReadonlyArray<Measured>> => [...endpoints(), ...(await wholeMesh())]

const wholeMesh = async (): Promise<ReadonlyArray<Measured>> => {
  const batches = Array.from(largeMesh(sizeOf(WORKLOADS)))
  const subject = `${grouped(WORKLOADS)} workloads`
  const { cpuMs, stretch } = await Effect.runPromise(Effect.scoped(applied(batches)))
  return [
    { case: "insertion of a mesh", subject, unit: "s", value: cpuMs / 1_000 },
    { case: "insertion: longest stretch", subject: `${subject}, in slices`, unit: "ms", value: stretch },
    {
      case: "insertion: longest stretch",
      subject: `${subject}, a batch's commit`,
      unit: "ms",
      value: longestCommit(batches)
    }
  ]
}

/** As a shard does. */
const applied = Effect.fnUntraced(function* (batches: ReadonlyArray<Uint8Array>) {
  const { apply, merge } = Context.get(yield* Layer.build(MeshReplica.layer(undefined)), MeshReplica)
  const work = Effect.forEach(batches, (batch) => Effect.andThen(apply([batch]), merge), { discard: true })
  const before = process.threadCpuUsage()
  const stretch = yield* longestStretch(work)
  const { system, user } = process.threadCpuUsage(before)
  return { cpuMs: (system + user) / 1_000, stretch }
})

const longestCommit = (batches: ReadonlyArray<Uint8Array>): number => {
  const state = new MeshState()
  return Math.max(
    ...batches.map((batch) => {
      for (const _ of stageBatches(state, [batch]));
      const ms = msOf(() => state.commit())
      state.merge(() => true)
      return ms
    })
  )
}

const endpoints = (): ReadonlyArray<Measured> => {
  const sizes = [1_000, 4_000]
  const batches = sizes.map((workloads) => Array.from(largeMesh({ workloads, services: 1, policies: 0 })))
  const rounds = Array.from({ length: ROUNDS }, () => batches.map(usToInsert))
  return sizes.map((size, at) => ({
    case: "a batch of endpoints of one service",
    subject: `${grouped(size)} endpoints`,
    unit: "us each",
    value: spread(rounds.slice(WARM_UP).map((round) => round[at]! / size)).median
  }))
}

const usToInsert = (batches: ReadonlyArray<Uint8Array>): number => {
  const state = new MeshState()
  const work = () => {
    for (const _ of stageBatches(state, batches));
    state.commit()
    state.merge(() => true)
  }
  return msOf(work) * 1_000
}

const WORKLOADS = 100_000
const WARM_UP = 10
const ROUNDS = WARM_UP + 21
