/**
 * A weft in front of two applications of `books/shelf-1`, whose policies a test edits while connections are open: HBONE
 * streams of two clients, each a workload of its own.
 */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientHttp2Stream } from "node:http2"
import type { Policy } from "../../src/domain/mesh/Policy.ts"
import { accessLineFrom } from "./accessLines.ts"
import { eventually } from "./eventually.ts"
import { type Answer, ask, hboneClient } from "./hbonePeers.ts"
import { meshEdits, type Resources } from "./meshEdits.ts"
import { meshFile, workload } from "./meshes.ts"
import { caFiles, CLIENT_IDENTITY, meshAddresses, SERVER_IDENTITY, startServerSide } from "./meshPair.ts"
import { type Peer, tcpServer, type TcpServer } from "./tcpPeers.ts"
import type { Weft } from "./WeftProcess.ts"

export const OTHER_IDENTITY = "spiffe://cluster.local/ns/shop/sa/other"
const UID = "Kubernetes//Pod/books/shelf-1"

export interface Open {
  readonly authority: string
  readonly identity: string
  readonly stream: ClientHttp2Stream
  /** The application's end. */
  readonly far: Peer
  readonly complete: ReturnType<typeof accessLineFrom>
  /** Bytes there and back. */
  readonly works: () => Promise<void>
  /** Ends it, and waits for its line: others alike are told apart by when they came. */
  readonly leave: () => Promise<void>
}

interface Given {
  readonly server: Weft & { readonly meshPath: string }
  readonly applications: readonly [TcpServer, TcpServer]
  readonly meshOf: (policies: ReadonlyArray<Policy>, attached?: ReadonlyArray<string>) => Resources
  readonly edit: (policies: ReadonlyArray<Policy>, attached?: ReadonlyArray<string>) => Effect.Effect<void>
  readonly connect: (identity: string, application: TcpServer) => Promise<Answer>
  readonly open: (identity: string, application: TcpServer) => Promise<Open>
}

export class PolicedServer extends Context.Service<PolicedServer, Given>()("weft/test/PolicedServer") {
  static readonly layer = Layer.effect(
    this,
    Effect.gen(function* () {
      const addresses = meshAddresses()
      const { ca, env } = yield* caFiles
      const meshOf: Given["meshOf"] = (policies, authorizationPolicies = []) => ({
        services: [],
        workloads: [
          workload("shelf-1", [addresses.server], {
            uid: UID,
            namespace: "books",
            serviceAccount: "shelf",
            authorizationPolicies
          })
        ],
        policies
      })
      const server = yield* startServerSide(addresses, meshFile(meshOf([])), env)
      const apply = yield* meshEdits(server)
      const applications = [yield* tcpServer(addresses.server), yield* tcpServer(addresses.server)] as const
      const sessions = new Map<string, Effect.Success<ReturnType<typeof hboneClient>>>()
      for (const identity of [CLIENT_IDENTITY, OTHER_IDENTITY]) {
        const leaf = yield* Effect.promise(() => ca.leaf({ uris: [identity] }))
        sessions.set(identity, yield* hboneClient(server.ports.inbound, ca, leaf))
      }
      const authorityOf = ({ host, port }: TcpServer) => `${host}:${port}`
      const connect: Given["connect"] = (identity, application) =>
        ask(sessions.get(identity)!, { ":method": "CONNECT", ":authority": authorityOf(application) })
      const open: Given["open"] = async (identity, application) => {
        const authority = authorityOf(application)
        const complete = accessLineFrom(server, { "dst.hbone_addr": authority, "src.identity": identity })
        const { headers, stream } = await connect(identity, application)
        assert.strictEqual(headers[":status"], 200)
        const far = await application.accept()
        far.socket.pipe(far.socket)
        const works = async () => {
          stream.write("hello")
          let heard = ""
          await eventually(() => (heard += String(stream.read() ?? "")) === "hello", "bytes there and back")
        }
        await works()
        const leave = async () => {
          stream.close()
          await complete()
        }
        return { authority, complete, far, identity, leave, stream, works }
      }
      return {
        server,
        applications,
        meshOf,
        edit: (policies, attached) => apply(meshOf(policies, attached)),
        connect,
        open
      }
    })
  )
}

/** It was cut on both sides, and the log says that a policy did it. */
export const isCut = ({ authority, complete, far, identity, stream }: Open, { lines }: Weft) =>
  Effect.promise(async () => {
    await eventually(() => stream.closed, `the end of the stream of ${identity} to ${authority}`)
    assert.notStrictEqual(stream.rstCode, 0)
    assert.strictEqual(await far.closed, "reset")
    const { fields, level, message } = await complete()
    assert.deepStrictEqual([level, message], ["error", "connection complete"])
    assert.deepInclude(fields, {
      error: "connection closed due to policy change",
      "dst.workload": "shelf-1",
      "dst.identity": SERVER_IDENTITY,
      direction: "inbound"
    })
    const end = `->${fields["dst.addr"]} (${UID}) closed because it's no longer allowed after a policy update`
    const told = lines.filter((line) => line.includes(`connection ${fields["src.addr"]}(${identity})${end}`))
    assert.isNotEmpty(told)
    assert.include(told[0], "\tinfo\tproxy::connection_manager\t")
  })
