/**
 * The inbound programs of one shard without listeners: a mesh that the test replaces, streams that the test makes, real
 * sockets to the application. What would be logged and counted is kept.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import { type Duplex, duplexPair } from "node:stream"
import { ipUnsafe, type SocketAddress } from "../../src/domain/Address.ts"
import { configure } from "../../src/domain/config/ConfigSchema.ts"
import type { AccessLine } from "../../src/domain/connection/AccessLine.ts"
import { identityOf, type Workload } from "../../src/domain/mesh/Workload.ts"
import type { Mesh } from "../../src/domain/mesh/Mesh.ts"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import type { ProxySet } from "../../src/domain/shard/Message.ts"
import { byteLength, layoutOf, type Slot } from "../../src/domain/shard/MetricLayout.ts"
import type { IncomingStream } from "../../src/layers/hbone/HboneServer.ts"
import { MeshReplica } from "../../src/layers/mesh/MeshReplica.ts"
import { AccessLog, PolicyLog } from "../../src/layers/observe/Logging.ts"
import { SharedMetrics, ShardMetrics } from "../../src/layers/observe/Metrics.ts"
import type { Conduit } from "../../src/layers/os/Conduit.ts"
import { Dialer } from "../../src/layers/os/Dialer.ts"
import { InHand } from "../../src/layers/os/InHand.ts"
import { Native } from "../../src/layers/os/Native.ts"
import { StreamConduit } from "../../src/layers/os/StreamConduit.ts"
import { Connections } from "../../src/layers/runtime/Connections.ts"
import { Settings } from "../../src/layers/runtime/ShardContext.ts"
import { makeAuthorise } from "../../src/programs/authorise.ts"
import { makeInbound } from "../../src/programs/inbound.ts"
import { makePassthrough } from "../../src/programs/passthrough.ts"
import { policy, workload } from "./meshes.ts"
import { type Resources, simpleMesh } from "./SimpleMesh.ts"

export interface InboundShardOptions {
  /** Of the workload that everything arrives at. */
  readonly ip: string
  readonly env?: Readonly<Record<string, string>>
  /** Somebody reads what policies decide. */
  readonly policyLog?: boolean
  /** Told of every dial before it is made. */
  readonly onDial?: (to: SocketAddress) => void
  /** Told of every write to the application by us. */
  readonly onWrite?: () => void
}

/** The local workload, `shop/web/default`, and everything that applies to it. */
const LOCAL = { namespace: "shop", name: "web", serviceAccount: "default" }
export const localWorkload = (ip: string, rest: Partial<Workload> = {}): Workload => workload(LOCAL.name, [ip], rest)

export const inboundShard = Effect.fnUntraced(function* (options: InboundShardOptions) {
  const { env = {}, ip, onDial, onWrite, policyLog = false } = options
  const lines: Array<AccessLine> = []
  const policyLines: Array<string> = []
  let mesh: Mesh = simpleMesh({ workloads: [localWorkload(ip)], services: [], policies: [] })
  const shared = Context.get(yield* Layer.build(SharedMetrics.layer(1)), SharedMetrics)
  const settings = settingsOf(env)
  const context = yield* Layer.build(
    Layer.mergeAll(
      Layer.succeed(AccessLog, { enabled: (level) => level !== "debug", write: (line) => void lines.push(line) }),
      Layer.succeed(PolicyLog, {
        enabled: policyLog,
        write: (message, fields) =>
          void policyLines.push([message, ...fields.map(([key, value]) => `${key}=${textOf(value)}`)].join(" "))
      }),
      Layer.succeed(MeshReplica, { current: () => mesh, apply: () => Effect.void, merge: Effect.void }),
      Connections.layer,
      Layer.effect(
        Dialer,
        Effect.map(Dialer, (dialer) => watched(dialer, onDial, onWrite))
      ).pipe(Layer.provide(Dialer.layer(settings))),
      ShardMetrics.layer(shared.layout, 0, 1),
      Layer.succeed(Settings, settings)
    ).pipe(
      Layer.provide(InHand.layer(layoutOf(new SharedArrayBuffer(byteLength(1)), 1), 0)),
      Layer.provide(Native.layer),
      Layer.provide(Logger.layer([]))
    )
  )
  const programs = yield* Effect.all({
    authorise: makeAuthorise(SET),
    inbound: makeInbound(SET),
    passthrough: makePassthrough(SET)
  }).pipe(Effect.provideContext(context))
  return {
    ...programs,
    ends: { peer: PEER, local: { ip: ipUnsafe(ip), port: 15008 }, principal: CLIENT },
    lines,
    policyLines,
    connections: Context.get(context, Connections),
    counts: (...slots: ReadonlyArray<Slot>) => slots.map((slot) => shared.total(slot)),
    setMesh: (next: Mesh) => {
      mesh = next
    }
  }
})

/** As a mesh does, and the simple one does not: the same policies for as long as it is the same mesh. */
export const settledMesh = (resources: Resources): Mesh => {
  const simple = simpleMesh(resources)
  const known = new Map(resources.workloads.map((each) => [each.uid, simple.policiesOf(each)]))
  return { ...simple, policiesOf: (workload) => known.get(workload.uid) ?? simple.policiesOf(workload) }
}

/** One that matches everyone, unless it has rules of its own. */
export const policyOf = (name: string, action: Policy["action"], rest: Partial<Policy> = {}): Policy =>
  policy(name, { action, rules: [[]], ...rest })

/** A CONNECT as the test sends it: what it was answered, in order, and the client's end. */
export const incoming = (authority: string, headers: Readonly<Record<string, string>> = {}) => {
  const [near, client] = duplexPair()
  const answers: Array<number | "cut"> = []
  const stream: IncomingStream = {
    method: "CONNECT",
    authority,
    header: (name) => (headers[name] === undefined ? [] : [headers[name]]),
    accept: () => {
      answers.push(200)
      return new StreamConduit<Duplex>(near, {
        reset: (duplex) => duplex.destroy(),
        endedInOrder: () => true,
        goneBy: () => ({ _tag: "Closed" }),
        highWaterMark: 65_536
      })
    },
    refuse: (status) => void answers.push(status),
    cut: () => {
      answers.push("cut")
      near.destroy()
    }
  }
  return { answers, client, stream }
}

export const PEER: SocketAddress = { ip: ipUnsafe("127.0.0.77"), port: 40_123 }
export const CLIENT = identityOf(workload("cart", [], { serviceAccount: "cart" }))

const SET: ProxySet = {
  id: 0,
  workload: LOCAL,
  listeners: [],
  localIp: undefined,
  hbonePort: 15008,
  illegalPorts: [15001, 15006, 15008]
}

const settingsOf = (env: Readonly<Record<string, string>>) =>
  Result.getOrThrow(
    configure({
      variables: {
        PROXY_MODE: "dedicated",
        PROXY_WORKLOAD_INFO: "shop/web/default",
        LOCAL_XDS: "workloads: []",
        ...env
      },
      meshConfig: undefined,
      proxyConfig: undefined,
      cpuCount: 1
    })
  )

const watched = (
  dialer: Dialer["Service"],
  onDial: InboundShardOptions["onDial"],
  onWrite: InboundShardOptions["onWrite"]
): Dialer["Service"] => ({
  ...dialer,
  dial: (to, from) =>
    Effect.suspend(() => {
      onDial?.(to)
      return Effect.map(dialer.dial(to, from), (conduit) => {
        if (onWrite !== undefined) tellWrites(conduit, onWrite)
        return conduit
      })
    })
})

const tellWrites = (conduit: Conduit, onWrite: () => void): void => {
  const write = conduit.write.bind(conduit)
  Object.assign(conduit, {
    write: (chunk: Buffer, taken: () => void) => {
      onWrite()
      return write(chunk, taken)
    }
  })
}

const textOf = (value: AccessLine["fields"][number][1]): string =>
  typeof value === "object" ? value.bare : String(value)
