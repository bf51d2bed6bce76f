/** SPIRE's agent as weft sees it: both APIs on one unix socket, saying what a test sets, refusing, going away and coming back. */
import * as Crypto from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  create,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary
} from "@bufbuild/protobuf"
import { type Metadata, Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import {
  DelegatedIdentity,
  SubscribeToX509BundlesResponseSchema,
  type SubscribeToX509SVIDsRequest,
  SubscribeToX509SVIDsResponseSchema
} from "../../src/domain/xds/gen/delegatedidentity_pb.ts"
import { SpiffeWorkloadAPI, X509SVIDResponseSchema } from "../../src/domain/xds/gen/spiffe_pb.ts"
import type { Pair } from "./TestCa.ts"

export interface FakeSvid {
  readonly spiffeId: string
  /** PEM; the leaf first. */
  readonly chain: ReadonlyArray<string>
  readonly keyPem: string
}

export interface FakeRefusal {
  readonly code: number
  readonly details: string
}

/** What the agent says from the next `push` on, and to whoever asks anew. */
export interface FakeAgentState {
  /** Of the Workload API: to whoever asks. */
  svids: ReadonlyArray<FakeSvid>
  /** Of the Delegated Identity API: by `<namespace>/<service account>`. */
  entries: { readonly [workload: string]: ReadonlyArray<FakeSvid> }
  /** DER of the roots, by trust domain id; the Workload API gives the first. */
  bundles: { readonly [trustDomainId: string]: Uint8Array }
  federated: { readonly [trustDomainId: string]: Uint8Array }
  refusal: FakeRefusal | undefined
  /** Sent instead of any message. */
  garbage: Uint8Array | undefined
  /** Says nothing at all. */
  silent: boolean
}

export type FakeSpire = Effect.Success<typeof fakeSpire>

export const fakeSpire = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "weft-spire-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const socketPath = join(folder, "agent.sock")
  const agent = makeAgent()
  let server: Server | undefined
  const start = Effect.promise(async () => {
    const started = new Server()
    server = started
    agent.addTo(started)
    await new Promise<void>((resolve, reject) =>
      started.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error)
      )
    )
  })
  const stop = Effect.sync(() => {
    server?.forceShutdown()
    server = undefined
    agent.open.clear()
  })
  yield* Effect.acquireRelease(start, () => stop)
  return { socketPath, start, stop, ...agent }
})

export const derOf = (...pems: ReadonlyArray<string>): Buffer<ArrayBuffer> =>
  Buffer.concat(pems.map((pem) => new Crypto.X509Certificate(pem).raw))

export const svidOf = (spiffeId: string, { certPem, keyPem }: Pair, ...intermediates: ReadonlyArray<string>) => ({
  spiffeId,
  chain: [certPem, ...intermediates],
  keyPem
})

type Call = ServerWritableStream<unknown, Uint8Array>

interface Open {
  readonly stream: "workload" | "bundles" | `svids ${string}`
  readonly metadata: Metadata
  readonly authority: string
  readonly say: () => void
  readonly end: (refusal: FakeRefusal | undefined) => void
}

const makeAgent = () => {
  const state: FakeAgentState = {
    svids: [],
    entries: {},
    bundles: {},
    federated: {},
    refusal: undefined,
    garbage: undefined,
    silent: false
  }
  const open = new Set<Open>()
  let calls = 0

  const answer = (call: Call, stream: Open["stream"], message: () => Uint8Array) => {
    calls++
    const end = (refusal: FakeRefusal | undefined) => {
      open.delete(entry)
      if (refusal === undefined) call.end()
      else call.emit("error", refusal)
    }
    const say = () => {
      if (state.refusal !== undefined) end(state.refusal)
      else if (!state.silent) call.write(state.garbage ?? message())
    }
    const entry: Open = { stream, metadata: call.metadata, authority: call.getHost(), say, end }
    open.add(entry)
    call.on("cancelled", () => open.delete(entry))
    say()
  }

  return {
    /** To be set as the test likes. */
    state,
    open: open as ReadonlySet<Open> & { readonly clear: () => void },
    calls: () => calls,
    streams: () => [...open].map(({ stream }) => stream).sort(),
    push: () => [...open].forEach(({ say }) => say()),
    endAll: () => [...open].forEach(({ end }) => end(undefined)),
    addTo: (server: Server) => {
      server.addService(definitionOf(SpiffeWorkloadAPI), {
        fetchX509SVID: (call: Call) =>
          answer(call, "workload", () =>
            encode(X509SVIDResponseSchema, {
              svids: state.svids.map(({ chain, keyPem, spiffeId }) => ({
                spiffeId,
                x509Svid: derOf(...chain),
                x509SvidKey: pkcs8(keyPem),
                bundle: Object.values(state.bundles)[0] ?? new Uint8Array()
              })),
              federatedBundles: state.federated
            })
          )
      })
      server.addService(definitionOf(DelegatedIdentity), {
        subscribeToX509SVIDs: (call: ServerWritableStream<SubscribeToX509SVIDsRequest, Uint8Array>) => {
          const workload = call.request.selectors.map(({ type, value }) => `${type}:${value}`).join(" ")
          const [, namespace, account] = /^k8s:ns:(\S+) k8s:sa:(\S+)$/.exec(workload) ?? []
          answer(call, `svids ${namespace}/${account}`, () =>
            encode(SubscribeToX509SVIDsResponseSchema, {
              x509Svids: (state.entries[`${namespace}/${account}`] ?? []).map(({ chain, keyPem, spiffeId }) => ({
                x509Svid: {
                  certChain: chain.map((pem) => derOf(pem)),
                  id: {
                    trustDomain: new URL(spiffeId).host,
                    path: spiffeId.slice(`spiffe://${new URL(spiffeId).host}`.length)
                  }
                },
                x509SvidKey: pkcs8(keyPem)
              }))
            })
          )
        },
        subscribeToX509Bundles: (call: Call) =>
          answer(call, "bundles", () =>
            encode(SubscribeToX509BundlesResponseSchema, { caCertificates: { ...state.bundles, ...state.federated } })
          )
      })
    }
  }
}

const definitionOf = (service: DescService) =>
  Object.fromEntries(
    service.methods.map((method) => [
      method.localName,
      {
        path: `/${service.typeName}/${method.name}`,
        requestStream: false,
        responseStream: true,
        requestSerialize: asBuffer,
        requestDeserialize: (bytes: Buffer) => fromBinary(method.input, bytes),
        responseSerialize: asBuffer,
        responseDeserialize: asBuffer
      }
    ])
  )

const encode = <D extends DescMessage>(schema: D, message: MessageInitShape<D>) =>
  toBinary(schema, create(schema, message))
const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes)
const pkcs8 = (pem: string): Buffer<ArrayBuffer> =>
  Buffer.from(Crypto.createPrivateKey(pem).export({ type: "pkcs8", format: "der" }))
