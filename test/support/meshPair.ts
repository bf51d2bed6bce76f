/**
 * The smallest mesh that runs: two weft processes on two loopback addresses of their own, one for the workload that
 * connects and one for the workload it connects to, with one CA and one mesh file. The workload that is connected to is
 * also behind a service with a VIP and a name.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { loopbackAddress } from "./ownAddress.ts"
import { meshFile, service, workload } from "./meshes.ts"
import { makeTestCa, type TestCa } from "./TestCa.ts"
import { type Peer, throughSocks5 } from "./tcpPeers.ts"
import { startWeft, tempDir, type Weft } from "./WeftProcess.ts"

export const CLIENT_IDENTITY = "spiffe://cluster.local/ns/shop/sa/cart"
export const SERVER_IDENTITY = "spiffe://cluster.local/ns/books/sa/shelf"
export const SERVICE = "shelf.books.svc.cluster.local"

export interface MeshAddresses {
  readonly client: string
  readonly server: string
  readonly vip: string
}

export const meshAddresses = (): MeshAddresses => ({
  client: loopbackAddress(),
  server: loopbackAddress(),
  vip: loopbackAddress()
})

/** The mesh file; `ports` are those of the service. */
export const pairMesh = ({ client, server, vip }: MeshAddresses, ports: ReadonlyArray<readonly [number, number]>) => {
  const shelf = service("shelf", [vip], { namespace: "books", hostname: SERVICE, ports: new Map(ports) })
  return meshFile({
    services: [shelf],
    workloads: [
      workload("cart-1", [client], { serviceAccount: "cart" }),
      workload("shelf-1", [server], {
        uid: "Kubernetes//Pod/books/shelf-1",
        namespace: "books",
        serviceAccount: "shelf",
        services: new Map([[`books/${SERVICE}`, new Map(ports)]])
      })
    ]
  })
}

export type Env = Readonly<Record<string, string>>

/** Two PEM files under which every process of a test signs. */
export const caFiles = Effect.gen(function* () {
  const dir = yield* tempDir
  const ca = yield* Effect.promise(() => makeTestCa())
  const env = { WEFT_CA_CERT: Path.join(dir, "ca.crt"), WEFT_CA_KEY: Path.join(dir, "ca.key") }
  Fs.writeFileSync(env.WEFT_CA_CERT, ca.certPem)
  Fs.writeFileSync(env.WEFT_CA_KEY, ca.keyPem)
  return { ca, env }
})

/** The server's weft: where HBONE arrives. */
export const startServerSide = (addresses: MeshAddresses, mesh: string, env: Env) =>
  startWeft({ workload: "books/shelf-1/shelf", mesh, bind: addresses.server, env: { ...ONE_SHARD, ...env } })

/** The client's weft; every HBONE listener of the mesh is on `hbonePort`, so its own is too. */
export const startClientSide = (addresses: MeshAddresses, mesh: string, hbonePort: number, env: Env) =>
  startWeft({
    workload: "shop/cart-1/cart",
    mesh,
    bind: addresses.client,
    env: { ...ONE_SHARD, WEFT_INBOUND_PORT: String(hbonePort), ...env }
  })

const ONE_SHARD = { ZTUNNEL_WORKER_THREADS: "1" }

export interface Pair {
  readonly addresses: MeshAddresses
  readonly ca: TestCa
  readonly client: Weft & { readonly meshPath: string }
  readonly server: Weft & { readonly meshPath: string }
  /** As an application of the client's workload, by SOCKS5. */
  readonly open: (host: string, port: number) => Effect.Effect<Peer, never, Scope.Scope>
}

export interface PairOptions {
  readonly addresses?: MeshAddresses
  readonly ports?: ReadonlyArray<readonly [number, number]>
  readonly env?: Env
}

export const startPair = Effect.fnUntraced(function* (options: PairOptions = {}) {
  const { addresses = meshAddresses(), env = {}, ports = [] } = options
  const authority = yield* caFiles
  const mesh = pairMesh(addresses, ports)
  const both = { ...authority.env, ...env }
  const server = yield* startServerSide(addresses, mesh, both)
  const client = yield* startClientSide(addresses, mesh, server.ports.inbound.port, both)
  const pair: Pair = {
    addresses,
    ca: authority.ca,
    client,
    server,
    open: (host, port) => throughSocks5(client.ports.socks5, { host, port })
  }
  return pair
})

/** For tests of one file that share a pair. */
export class MeshPair extends Context.Service<MeshPair, Pair>()("weft/test/MeshPair") {
  static readonly layer = (options: PairOptions = {}) => Layer.effect(this, startPair(options))
}
