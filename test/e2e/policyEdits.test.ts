/**
 * Policies are edited while connections are open: which of them end, and what their clients, their applications and the
 * log are told. Each time those that go on were opened first, so that they have been judged when the others end.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import type { Match, Policy } from "../../src/domain/mesh/Policy.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { meshFile, policy, workload } from "../support/meshes.ts"
import { CLIENT_IDENTITY } from "../support/meshPair.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { isCut, OTHER_IDENTITY, PolicedServer } from "../support/policedServer.ts"
import { spawnWeft } from "../support/WeftProcess.ts"

const condition = <M>(...any: ReadonlyArray<M>) => ({ any, none: [], notUnderstood: false })
const principal = (identity: string): Match => ({
  principals: condition({ _tag: "Exact", value: identity.replace("spiffe://", "") } as const)
})
const toPort = (port: number): Match => ({ destinationPorts: condition(port) })
const books = (name: string, rest: Partial<Policy>) => policy(name, { namespace: "books", ...rest })

layer(PolicedServer.layer, { excludeTestServices: true, timeout: "60 seconds" })("an edit of the mesh file", (it) => {
  it.effect("that adds a DENY ends what it is about, and nothing else", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, open, server } = yield* PolicedServer
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
        await Promise.all([mine!.leave(), elsewhere!.leave()])
      })
      yield* edit([])
      const again = yield* Effect.promise(() => open(OTHER_IDENTITY, web))
      yield* Effect.promise(again.leave)
    })
  )

  it.effect("that adds an ALLOW ends what it does not name", () =>
    Effect.gen(function* () {
      const { applications, edit, open, server } = yield* PolicedServer
      const [web] = applications
      const [mine, others] = yield* Effect.promise(async () => [
        await open(CLIENT_IDENTITY, web),
        await open(OTHER_IDENTITY, web)
      ])
      yield* edit([books("cart-only", { rules: [[[principal(CLIENT_IDENTITY)]]] })])
      yield* isCut(others!, server)
      yield* Effect.promise(mine!.works)
      yield* Effect.promise(mine!.leave)
      yield* edit([])
    })
  )

  it.effect("that attaches a policy to the workload counts, and its coming alone does not", () =>
    Effect.gen(function* () {
      const { applications, edit, open, server } = yield* PolicedServer
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
      yield* Effect.promise(mine!.works)
      yield* Effect.promise(mine!.leave)
      yield* edit([])
    })
  )

  it.effect("that is bad changes nothing, and is reported by file, line, field and reason", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, meshOf, open, server } = yield* PolicedServer
      const [web, other] = applications
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
        const another = await open(CLIENT_IDENTITY, other)
        await Promise.all([mine.leave(), another.leave()])
      })
      yield* edit([])
    })
  )

  it.effect("that removes the workload ends all that is open to it, and it is reached no more", () =>
    Effect.gen(function* () {
      const { applications, connect, edit, open, server } = yield* PolicedServer
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
      yield* Effect.promise(again.leave)
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
