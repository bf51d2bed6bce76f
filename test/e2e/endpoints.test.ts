/** Which endpoint of a service the connections of an application go to, while the mesh file is edited. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import type { LoadBalancer, Service } from "../../src/domain/mesh/Service.ts"
import type { Workload } from "../../src/domain/mesh/Workload.ts"
import { accessLineFrom } from "../support/accessLines.ts"
import { sharesByCapacity } from "../support/capacities.ts"
import { startEndpoints } from "../support/endpoints.ts"
import { behind, service, workload } from "../support/meshes.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { exchange } from "../support/rawTcp.ts"
import { askSocks5, tcpServer, throughSocks5 } from "../support/tcpPeers.ts"

type Status = Workload["status"]

const zone = (name: string) => ({ locality: { region: "r1", zone: name, subzone: "" } })

/** Two endpoints in the client's zone and one in another. */
const zoned = Effect.gen(function* () {
  const target = { host: loopbackAddress(), port: 80 }
  const serviceOf = (healthPolicy: LoadBalancer["healthPolicy"]): Service =>
    service("zoned", [target.host], {
      loadBalancer: { mode: "Failover", routingPreferences: ["Region", "Zone"], healthPolicy }
    })
  const endpoints = behind(serviceOf("OnlyHealthy"))
  const story = yield* startEndpoints({
    names: ["near-1", "near-2", "far"],
    client: zone("a"),
    mesh: () => ({ services: [], workloads: [] })
  })
  const edit = (one: Status, two: Status, far: Status, healthPolicy: LoadBalancer["healthPolicy"] = "OnlyHealthy") =>
    story.edit({
      services: [serviceOf(healthPolicy)],
      workloads: [
        story.place("near-1", { status: one, ...zone("a"), ...endpoints }),
        story.place("near-2", { status: two, ...zone("a"), ...endpoints }),
        story.place("far", { status: far, ...zone("b"), ...endpoints })
      ]
    })
  return { ...story, edit, target, picks: (count: number) => Effect.promise(() => story.open(target, count)) }
})

describe("a service whose endpoints have unequal capacity", () => {
  it.live("shares connections in proportion to it", () => sharesByCapacity(400))
})

describe("a service that fails over between zones", () => {
  it.live("leaves the zone when nobody in it is healthy, and comes back; what is open stays where it is", () =>
    Effect.gen(function* () {
      const { edit, open, picks, target, weft } = yield* zoned
      yield* edit("Healthy", "Healthy", "Healthy")
      const held: Array<Net.Socket> = []
      const [one, two, far] = yield* Effect.promise(() => open(target, 24, { onOpen: (each) => held.push(each) }))
      assert.isAbove(one!, 0)
      assert.isAbove(two!, 0)
      assert.strictEqual(far, 0)

      yield* edit("Unhealthy", "Healthy", "Healthy")
      assert.deepStrictEqual(yield* picks(12), [0, 12, 0])
      yield* edit("Unhealthy", "Unhealthy", "Healthy")
      assert.deepStrictEqual(yield* picks(12), [0, 0, 12])
      yield* edit("Unhealthy", "Unhealthy", "Unhealthy")
      const line = accessLineFrom(weft, { "dst.addr": `${target.host}:80` })
      assert.strictEqual((yield* askSocks5(weft.ports.socks5, target)).reply, GENERAL_FAILURE)
      const { fields, level, message } = yield* Effect.promise(line)
      assert.deepStrictEqual([level, message], ["warn", "connection failed"])
      assert.strictEqual(fields["error"], `no healthy upstream: ${target.host}:80`)
      yield* edit("Unhealthy", "Unhealthy", "Healthy", "AllowAll")
      assert.strictEqual((yield* picks(12))[2], 0, "the near ones again, whatever their health")
      yield* edit("Healthy", "Unhealthy", "Healthy")
      assert.deepStrictEqual(yield* picks(12), [12, 0, 0])

      yield* Effect.promise(() => Promise.all(held.map((socket) => exchange(socket, "still there"))))
      for (const socket of held) socket.destroy()
    })
  )
})

describe("WEFT_LOAD_BALANCING=least-loaded", () => {
  it.live("sends connections to whoever has fewer, until the loads are even", () =>
    Effect.gen(function* () {
      const target = { host: loopbackAddress(), port: 80 }
      const web = service("web", [target.host])
      const { edit, open, place } = yield* startEndpoints({
        names: ["old", "new"],
        env: { WEFT_LOAD_BALANCING: "least-loaded" },
        mesh: (at) => ({ services: [web], workloads: [at("old", behind(web))] })
      })
      const held: Array<Net.Socket> = []
      const hold = (count: number) => Effect.promise(() => open(target, count, { onOpen: (each) => held.push(each) }))
      assert.deepStrictEqual(yield* hold(30), [30, 0])
      yield* edit({ services: [web], workloads: [place("old", behind(web)), place("new", behind(web))] })
      assert.deepStrictEqual(yield* hold(29), [0, 29])
      const [old, fresh] = yield* hold(41)
      assert.strictEqual(old! + 30, fresh! + 29, "even")
      for (const socket of held) socket.destroy()
    })
  )
})

describe("an endpoint that has a name and no address", () => {
  it.live("is reached at what the system says of the name", () =>
    Effect.gen(function* () {
      const application = yield* tcpServer("127.0.0.1", (socket) => void socket.pipe(socket))
      const vip = loopbackAddress()
      const named = service("named", [vip], { ports: new Map([[80, application.port]]) })
      const external = workload("external", [], { hostname: "localhost", protocol: "TCP", ...behind(named) })
      const { weft } = yield* startEndpoints({
        names: ["unused"],
        mesh: () => ({ services: [named], workloads: [external] })
      })
      const line = accessLineFrom(weft, { "dst.workload": "external" })
      const peer = yield* throughSocks5(weft.ports.socks5, { host: vip, port: 80 })
      peer.socket.end("hello")
      assert.strictEqual(String(yield* Effect.promise(() => peer.ended)), "hello")
      const { fields, level } = yield* Effect.promise(line)
      assert.strictEqual(level, "info")
      assert.deepInclude(fields, {
        "dst.addr": `127.0.0.1:${application.port}`,
        "dst.service": named.hostname
      })
      assert.notProperty(fields, "dst.hbone_addr")
    })
  )
})

/** SOCKS5's reply code. */
const GENERAL_FAILURE = 1
