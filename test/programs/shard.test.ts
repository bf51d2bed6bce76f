/** A shard's program in this thread, told what to do over a message port as the main thread does. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import { MessageChannel } from "node:worker_threads"
import { ipUnsafe, LOOPBACK_V4 } from "../../src/domain/Address.ts"
import { configure } from "../../src/domain/config/ConfigSchema.ts"
import { proxyError, Reason } from "../../src/domain/connection/ProxyError.ts"
import { formatIdentity } from "../../src/domain/Identity.ts"
import type { FromShard, ProxySet, ToShard } from "../../src/domain/shard/Message.ts"
import { byteLength } from "../../src/domain/shard/MetricLayout.ts"
import { CertificateReplica } from "../../src/layers/identity/CertificateReplica.ts"
import { MeshReplica } from "../../src/layers/mesh/MeshReplica.ts"
import { Connections } from "../../src/layers/runtime/Connections.ts"
import { layerWorkerRuntime } from "../../src/layers/runtime/WorkerRuntime.ts"
import { newRecord } from "../../src/programs/connection.ts"
import { shard } from "../../src/programs/shard.ts"
import { batchesOf, type Changes } from "../support/batches.ts"
import { workload } from "../support/meshes.ts"

const settings = Result.getOrThrow(
  configure({
    variables: {
      PROXY_MODE: "dedicated",
      PROXY_WORKLOAD_INFO: "shop/web-0/default",
      LOCAL_XDS: "workloads: []",
      RUST_LOG: "off"
    },
    meshConfig: undefined,
    proxyConfig: undefined,
    cpuCount: 1
  })
)

const running = Effect.gen(function* () {
  const { port1: main, port2: port } = new MessageChannel()
  const answers = yield* Queue.unbounded<FromShard>()
  // the shard sends nothing else
  main.on("message", (message) => Queue.offerUnsafe(answers, message as FromShard))
  yield* Effect.addFinalizer(() => Effect.sync(() => main.close()))
  const start = { shard: 0, shards: 1, settings, memory: new SharedArrayBuffer(byteLength(1)), portable: true }
  const context = yield* Layer.build(layerWorkerRuntime(start, port))
  yield* Effect.forkScoped(Effect.provideContext(shard, context))
  let version = 0
  const tell = (message: ToShard) => main.postMessage(message)
  return {
    tell,
    push: (changes: Changes) => tell({ _tag: "Mesh", version: (version += 1), batches: batchesOf(changes) }),
    answer: Queue.take(answers),
    mesh: Context.get(context, MeshReplica),
    certificates: Context.get(context, CertificateReplica),
    connections: Context.get(context, Connections)
  }
})

const pods = (count: number, revision = "") =>
  Array.from({ length: count }, (_, index) =>
    workload(`web-${index}`, [`10.0.${index >> 8}.${index & 255}`], { canonicalRevision: revision })
  )

const SET: ProxySet = {
  id: 7,
  workload: { namespace: "shop", name: "web-0", serviceAccount: "default" },
  listeners: [{ kind: "inboundPlaintext", fd: undefined, address: { ip: LOOPBACK_V4, port: 0 } }],
  localIp: undefined,
  hbonePort: 15008,
  illegalPorts: []
}

describe("a shard", () => {
  it.live("serves with a mesh or not at all, and takes certificates while a long push is applied", () =>
    Effect.gen(function* () {
      const { answer, certificates, mesh, push, tell } = yield* running
      tell({ _tag: "Serve", set: SET })
      push({ workloads: pods(5_000) })
      const identity = formatIdentity({ trustDomain: "cluster.local", namespace: "shop", serviceAccount: "default" })
      const bundle = { identity, chain: "", key: "", roots: "", notBefore: 0, notAfter: Infinity }
      tell({ _tag: "Certificate", bundle })
      assert.deepStrictEqual(yield* certificates.get(identity), bundle)
      assert.isUndefined(mesh.current().localWorkload(SET.workload))
      assert.deepStrictEqual(
        [yield* answer, yield* answer, yield* answer].map(({ _tag }) => _tag),
        ["NeedCertificate", "Applied", "Serving"]
      )
      assert.strictEqual(mesh.current().localWorkload(SET.workload)?.name, "web-0")
    }).pipe(Effect.scoped)
  )

  it.live("answers probes before there is a mesh", () =>
    Effect.gen(function* () {
      const { answer, tell } = yield* running
      tell({ _tag: "Serve", set: SET })
      const address = { ip: LOOPBACK_V4, port: 0 }
      tell({ _tag: "ServeProbes", set: { id: 8, listeners: [{ kind: "readiness", fd: undefined, address }] } })
      const served = yield* answer
      assert(served._tag === "Serving" && served.set === 8)
      const response = yield* Effect.promise(() =>
        fetch(`http://${LOOPBACK_V4}:${served.listeners[0]!.address.port}/healthz/ready`)
      )
      assert.strictEqual(response.status, 500)
      assert.strictEqual(yield* Effect.promise(() => response.text()), "not ready, pending: proxy, state manager\n")
    }).pipe(Effect.scoped)
  )

  it.live("applies pushes in order, and those that wait together", () =>
    Effect.gen(function* () {
      const { answer, mesh, push } = yield* running
      push({ workloads: pods(2_000, "1") })
      for (let revision = 2; revision <= 9; revision += 1) push({ workloads: pods(2, String(revision)) })
      push({ removed: [pods(2)[1]!.uid] })
      const versions: Array<number> = []
      while (versions.at(-1) !== 10) {
        const message = yield* answer
        if (message._tag === "Applied") versions.push(message.version)
      }
      assert.deepStrictEqual(
        versions,
        versions.toSorted((a, b) => a - b)
      )
      assert.isBelow(versions.length, 10)
      const revisionOf = (ip: string) => mesh.current().workloadByAddress("", ipUnsafe(ip))?.canonicalRevision
      assert.deepStrictEqual(["10.0.0.0", "10.0.0.1", "10.0.0.2"].map(revisionOf), ["9", undefined, "1"])
    }).pipe(Effect.scoped)
  )

  it.live("judges what is open again after each push, by the mesh of then", () =>
    Effect.gen(function* () {
      const { answer, connections, mesh, push } = yield* running
      push({ workloads: pods(3) })
      yield* answer
      const cuts = [0, 1].map((index) => {
        const peer = { ip: LOOPBACK_V4, port: index }
        return connections.register(newRecord("destination", peer, peer, 0), () =>
          mesh.current().workloadByUid(pods(3)[index]!.uid) === undefined
            ? proxyError(Reason.UnknownSourceWorkload({ workload: "" }))
            : undefined
        )
      })
      push({ removed: [pods(3)[1]!.uid] })
      const { reason } = yield* Effect.flip(Effect.raceAllFirst(cuts))
      assert.strictEqual(reason._tag, "PolicyChanged")
      push({ removed: [pods(3)[0]!.uid] })
      yield* Effect.flip(cuts[0]!)
    }).pipe(Effect.scoped)
  )
})
