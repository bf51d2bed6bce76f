/** What tests of the outbound decision share: a client, a way to ask, and answers as short text. */
import * as Result from "effect/Result"
import { ipUnsafe, parseSocketAddress, type SocketAddress } from "../../src/domain/Address.ts"
import { describe as textOf } from "../../src/domain/connection/ProxyError.ts"
import { resolve } from "../../src/domain/decide/Resolve.ts"
import type { Step } from "../../src/domain/decide/Trace.ts"
import type { OutboundRequest, Upstream } from "../../src/domain/decide/Upstream.ts"
import type { Service } from "../../src/domain/mesh/Service.ts"
import type { GatewayAddress, Workload } from "../../src/domain/mesh/Workload.ts"
import { workload } from "./meshes.ts"
import { simpleMesh } from "./SimpleMesh.ts"

export const source = workload("client", ["10.0.0.100", "2001:db8::100"], { serviceAccount: "client" })

export const socket = (text: string): SocketAddress => Result.getOrThrow(parseSocketAddress(text))

interface Given {
  readonly workloads?: ReadonlyArray<Workload>
  readonly services?: ReadonlyArray<Service>
}

export const requestOf = (target: string, rest: Partial<OutboundRequest> = {}): OutboundRequest => ({
  source,
  sourceIp: ipUnsafe("10.0.0.100"),
  target: socket(target),
  network: "",
  hbonePort: 15008,
  random: 0.5,
  names: () => undefined,
  loadOf: undefined,
  ...rest
})

/** Failures as `<reason>: <text of the access log>`. */
export const ask = (
  { services = [], workloads = [] }: Given,
  target: string,
  rest: Partial<OutboundRequest> = {}
): Result.Result<Upstream, string> => {
  const request = requestOf(target, rest)
  const mesh = simpleMesh({ services, workloads: [request.source, ...workloads], policies: [] })
  return Result.mapError(resolve(mesh, request), (error) =>
    error._tag === "NameNeeded" ? `NameNeeded: ${error.hostname}` : `${error.reason._tag}: ${textOf(error.reason)}`
  )
}

/** Where it goes: `passthrough`, `tcp NAME ADDRESS`, `hbone NAME NEXT-HOP AUTHORITY`, `double GATEWAY NEXT-HOP AUTHORITY`; or the failure. */
export const way = (result: Result.Result<Upstream, string>): string => {
  if (Result.isFailure(result)) return result.failure
  const upstream = result.success
  switch (upstream._tag) {
    case "Passthrough":
      return `passthrough ${at(upstream.target)}`
    case "Direct":
      return `tcp ${upstream.workload.name} ${at(upstream.address)}`
    case "Hbone":
      return `hbone ${upstream.workload.name} ${at(upstream.nextHop)} ${upstream.authority}`
    case "DoubleHbone":
      return `double ${upstream.gateway.name} ${at(upstream.nextHop)} ${upstream.authority}`
  }
}

/** The ways that `runs` connections take, and how many take each. */
export const ways = (
  given: Given,
  target: string,
  rest: Partial<OutboundRequest> = {},
  runs = 100
): Map<string, number> => {
  const counts = new Map<string, number>()
  for (let run = 0; run < runs; run++) {
    const taken = way(ask(given, target, { random: run / runs, ...rest }))
    counts.set(taken, (counts.get(taken) ?? 0) + 1)
  }
  return counts
}

/** The names of the endpoints that were chosen, in order. */
export const names = (counts: Map<string, number>): ReadonlyArray<string> =>
  [...counts.keys()].map((taken) => taken.split(" ")[1] ?? taken).toSorted()

export const steps = ({ services = [], workloads = [] }: Given, request: OutboundRequest): ReadonlyArray<Step> => {
  const told: Array<Step> = []
  const mesh = simpleMesh({ services, workloads: [request.source, ...workloads], policies: [] })
  resolve(mesh, request, (step) => told.push(step))
  return told
}

export const byHostname = (hostname: string, hboneMtlsPort = 15008): GatewayAddress => ({
  destination: { _tag: "Hostname", namespace: "shop", hostname },
  hboneMtlsPort
})

const at = ({ ip, port }: SocketAddress) => `${ip}:${port}`
