/**
 * Policies are edited while connections are open: which of them end, and what their clients, their applications and the
 * log are told. Each time those that go on were opened first, so that they have been judged when the others end.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientHttp2Stream } from "node:http2"
import * as Fs from "node:fs"
import type { Match, Policy } from "../../src/domain/mesh/Policy.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { eventually } from "../support/eventually.ts"
import { ask, hboneClient } from "../support/hbonePeers.ts"
import { meshEdits } from "../support/meshEdits.ts"
import { meshFile, policy, workload } from "../support/meshes.ts"
import { caFiles, CLIENT_IDENTITY, meshAddresses, SERVER_IDENTITY, startServerSide } from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { type Peer, tcpServer, type TcpServer } from "../support/tcpPeers.ts"
import { spawnWeft, type Weft } from "../support/WeftProcess.ts"

const OTHER_IDENTITY = "spiffe://cluster.local/ns/shop/sa/other"
const UID = "Kubernetes//Pod/books/shelf-1"

const condition = <M>(...any: ReadonlyArray<M>) => ({ any, none: [], notUnderstood: false })
const principal = (identity: string): Match => ({
  principals: condition({ _tag: "Exact", value: identity.replace("spiffe://", "") } as const)
})
const toPort = (port: number): Match => ({ destinationPorts: condition(port) })
const books = (name: string, rest: Partial<Policy>) => policy(name, { namespace: "books", ...rest })

interface Open {
  readonly authority: string
  readonly identity: string
  readonly stream: ClientHttp2Stream
  /** The application's end. */
  readonly far: Peer
  readonly complete: ReturnType<typeof accessLineFrom>
  /** Bytes there and back. */
  readonly works: () => Promise<void>
}

interface Given {
  readonly server: Weft & { readonly meshPath: string }
  readonly applications: readonly [TcpServer, TcpServer]
  readonly meshOf: (policies: ReadonlyArray<Policy>, attached?: ReadonlyArray<string>) => Parameters<typeof meshFile>[0]
  readonly edit: (policies: ReadonlyArray<Policy>, attached?: ReadonlyArray<string>) => Effect.Effect<void>
  readonly connect: (identity: string, application: TcpServer) => Promise<Awaited<ReturnType<typeof ask>>>
  readonly open: (identity: string, application: TcpServer) => Promise<Open>
}

class Story extends Context.Service<Story, Given>()("weft/test/e2e/policyEdits/Story") {
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
        return { authority, complete, far, identity, stream, works }
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
const isCut = ({ authority, complete, far, identity, stream }: Open, { lines }: Weft) =>
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

layer(Story.layer, { excludeTestServices: true, timeout: "60 seconds" })("an edit of the mesh file", (it) => {
  it.effect("that adds a DENY ends what it is about, and nothing else", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, open, server } = yield* Story
      const [web, other] = applications
      const [mine, elsewhere, denied] = yield* Effect.promise(async () => [
        await open(CLIENT_IDENTITY, web),
        await open(OTHER_IDENTITY, other),
        await open(OTHER_IDENTITY, web)
      ])
      const rules = [[[principal(OTHER_IDENTITY)], [toPort(web.port)]]]
      yield* edit([books("no-other", { action: "Deny", rules })])
      yield* isCut(denied!, server)
      yield* Effect.promise(async () => {
        await Promise.all([mine!.works(), elsewhere!.works()])
        assert.strictEqual((await connect(OTHER_IDENTITY, web)).headers[":status"], 401)
        for (const { stream } of [mine!, elsewhere!]) stream.close()
      })
      yield* edit([])
      const again = yield* Effect.promise(() => open(OTHER_IDENTITY, web))
      again.stream.close()
    })
  )

  it.effect("that adds an ALLOW ends what it does not name", () =>
    Effect.gen(function* () {
      const { applications, edit, open, server } = yield* Story
      const [web] = applications
      const [mine, others] = yield* Effect.promise(async () => [
        await open(CLIENT_IDENTITY, web),
        await open(OTHER_IDENTITY, web)
      ])
      yield* edit([books("cart-only", { rules: [[[principal(CLIENT_IDENTITY)]]] })])
      yield* isCut(others!, server)
      yield* Effect.promise(() => mine!.works())
      mine!.stream.close()
      yield* edit([])
    })
  )

  it.effect("that attaches a policy to the workload counts, and its coming alone does not", () =>
    Effect.gen(function* () {
      const { applications, edit, open, server } = yield* Story
      const [web] = applications
      const [mine, others] = yield* Effect.promise(async () => [
        await open(CLIENT_IDENTITY, web),
        await open(OTHER_IDENTITY, web)
      ])
      const attached = books("attached", {
        scope: "WorkloadSelector",
        action: "Deny",
        rules: [[[principal(OTHER_IDENTITY)]]]
      })
      yield* edit([attached])
      yield* Effect.promise(() => others!.works())
      yield* edit([attached], [attached.key])
      yield* isCut(others!, server)
      yield* Effect.promise(() => mine!.works())
      mine!.stream.close()
      yield* edit([])
    })
  )

  it.effect("that is bad changes nothing, and is reported by file, line, field and reason", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, meshOf, open, server } = yield* Story
      const [web] = applications
      const deny = books("no-other", { action: "Deny", rules: [[[principal(OTHER_IDENTITY)]]] })
      yield* edit([deny])
      const mine = yield* Effect.promise(() => open(CLIENT_IDENTITY, web))
      const nobody = books("nobody", { action: "Deny", rules: [[]] })
      const good = meshFile(meshOf([nobody, books("bad", { rules: [[[toPort(80)]]] })]))
      Fs.writeFileSync(server.meshPath, good.replace("- 80\n", "- 80000\n"))
      const report = yield* Effect.promise(() =>
        server.line((line) => line.includes("policies[1].rules[0][0][0].destinationPorts[0]"))
      )
      assert.include(report, server.meshPath)
      assert.include(report, "80000 was given")
      assert.include(report, "the mesh stays as it was before")
      yield* Effect.promise(async () => {
        await mine.works()
        assert.strictEqual((await connect(OTHER_IDENTITY, web)).headers[":status"], 401)
        const another = await open(CLIENT_IDENTITY, web)
        for (const { stream } of [mine, another]) stream.close()
      })
      yield* edit([])
    })
  )

  it.effect("that removes the workload ends all that is open to it, and it is reached no more", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, open, server } = yield* Story
      const [web, other] = applications
      const all = yield* Effect.promise(async () => [
        await open(CLIENT_IDENTITY, web),
        await open(OTHER_IDENTITY, other)
      ])
      Fs.writeFileSync(server.meshPath, meshFile({ services: [], workloads: [] }))
      for (const each of all) yield* isCut(each, server)
      const line = accessLineFrom(server, { error: "unknown source workload: shelf.books (shelf-1)" })
      assert.strictEqual((yield* Effect.promise(() => connect(CLIENT_IDENTITY, web))).headers[":status"], 503)
      assert.strictEqual((yield* Effect.promise(line)).level, "warn")
      yield* edit([])
      const again = yield* Effect.promise(() => open(CLIENT_IDENTITY, web))
      again.stream.close()
    })
  )
})

describe("a mesh file with a bad policy among good ones", () => {
  it.live("is no mesh to start with, and the policy is named, with what is wrong", () =>
    Effect.gen(function* () {
      const weft = yield* spawnWeft([], ["proxy"], {
        PROXY_MODE: "dedicated",
        PROXY_WORKLOAD_INFO: "shop/web/default",
        LOCAL_XDS: meshFile({
          services: [],
          workloads: [workload("web", [loopbackAddress()])],
          policies: [policy("good"), policy("bad", { rules: [[[toPort(80)]]] })]
        }).replace("- 80\n", "- eighty\n"),
        ZTUNNEL_WORKER_THREADS: "1"
      })
      assert.strictEqual(yield* Effect.promise(() => weft.exited), 1)
      const said = weft.stderr() + weft.lines.join("\n")
      assert.match(
        said,
        /LOCAL_XDS:\d+:\d+: policies\[1\]\.rules\[0\]\[0\]\[0\]\.destinationPorts\[0\]: "eighty" was given/
      )
      assert.notInclude(said, "policies[0]")
      assert.notInclude(said, "marking server ready")
    })
  )
})
