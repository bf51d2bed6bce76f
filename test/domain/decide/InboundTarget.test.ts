import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { parseSocketAddress } from "../../../src/domain/Address.ts"
import { httpStatus } from "../../../src/domain/connection/ProxyError.ts"
import { guessService, type InboundRequest, inboundTarget } from "../../../src/domain/decide/InboundTarget.ts"
import * as Mesh from "../../../src/domain/mesh/Mesh.ts"
import { parseAuthority } from "../../../src/domain/wire/Authority.ts"
import { behind, service, workload } from "../../support/meshes.ts"

const web = service("web", ["10.96.0.1"])
const api = service("api", ["10.96.0.2"], {
  ports: new Map([
    [80, 0],
    [443, 8443]
  ])
})
const hidden = service("hidden", [], { namespace: "other", visibility: "Namespace" })
const pod = workload("pod", ["10.0.0.1"], {
  services: new Map([...behind(web).services, ...behind(api, [[80, 7070]]).services])
})
const mesh = Mesh.make({ workloads: [pod], services: [web, api, hidden] })

const socket = (text: string) => Result.getOrThrow(parseSocketAddress(text))

const ask = (authority: string, rest: Partial<InboundRequest> = {}) => {
  const target = inboundTarget(mesh, {
    workload: pod,
    connected: socket("10.0.0.1:15008"),
    authority: Result.getOrThrow(parseAuthority(authority)),
    forwardedHost: undefined,
    illegalPorts: [15001, 15008],
    ...rest
  })
  return Result.mapBoth(target, {
    onSuccess: ({ service, target }) => `${target.ip}:${target.port} ${service?.name ?? "-"}`,
    onFailure: ({ message, reason }) => `${httpStatus(reason)} ${message}`
  })
}

describe("an inbound stream", () => {
  it("goes to the address that was connected to, on the port of its authority", () => {
    assert.deepStrictEqual(ask("10.0.0.1:9999"), Result.succeed("10.0.0.1:9999 -"))
    assert.deepStrictEqual(ask("[::ffff:10.0.0.1]:8080"), Result.succeed("10.0.0.1:8080 web"))
  })

  it("for another address is refused", () => {
    assert.deepStrictEqual(ask("10.0.0.2:80"), Result.fail("400 ip mismatch: 10.0.0.1 != 10.0.0.2"))
    assert.deepStrictEqual(ask("10.96.0.1:80"), Result.fail("400 ip mismatch: 10.0.0.1 != 10.96.0.1"))
  })

  it("for a service goes to the port that this workload has for it", () => {
    assert.deepStrictEqual(ask("web.shop.svc.cluster.local:80"), Result.succeed("10.0.0.1:8080 web"))
    assert.deepStrictEqual(ask("api.shop.svc.cluster.local:80"), Result.succeed("10.0.0.1:7070 api"))
    assert.deepStrictEqual(ask("api.shop.svc.cluster.local:443"), Result.succeed("10.0.0.1:8443 api"))
  })

  it("for a service or port that it does not know is refused", () => {
    assert.deepStrictEqual(
      ask("web.shop.svc.cluster.local:81"),
      Result.fail("503 requested service web.shop.svc.cluster.local:81 found, but cannot resolve port")
    )
    const stranger = { ...pod, uid: "stranger" }
    assert.isTrue(Result.isFailure(ask("api.shop.svc.cluster.local:80", { workload: stranger })))
    assert.deepStrictEqual(ask("nobody:80"), Result.fail("503 no service or workload for hostname: nobody"))
    assert.isTrue(Result.isFailure(ask("hidden.shop.svc.cluster.local:80")))
  })

  it("for one of our own ports is refused, also by way of a service", () => {
    const refused = Result.fail("503 attempted recursive call to ourselves")
    assert.deepStrictEqual(ask("10.0.0.1:15001"), refused)
    assert.deepStrictEqual(ask("api.shop.svc.cluster.local:80", { illegalPorts: [7070] }), refused)
  })

  it("for a workload with an application tunnel is refused", () => {
    const tunnelled = { ...pod, applicationTunnel: { protocol: "PROXY", port: 15088 } } as const
    assert.deepStrictEqual(
      ask("10.0.0.1:80", { workload: tunnelled }),
      Result.fail("503 not supported yet: the application tunnel of workload Kubernetes//Pod/shop/pod")
    )
  })
})

describe("guessService", () => {
  it("takes the one that was named if the workload is behind it, else the first with that target port", () => {
    const guess = (port: number, host?: string) => guessService(mesh, pod, port, host)?.name
    assert.strictEqual(guess(8080, "api.shop.svc.cluster.local"), "api")
    assert.strictEqual(guess(8080, "hidden.shop.svc.cluster.local"), "web")
    assert.strictEqual(guess(8443), "api")
    assert.strictEqual(guess(7070), "api")
    assert.isUndefined(guess(80))
    assert.isUndefined(guessService(mesh, { ...pod, uid: "stranger" }, 8080, undefined))
  })
})
