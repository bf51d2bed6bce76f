/**
 * Two pods and the cable between them: network namespaces with names of their own, in which connections are redirected
 * as istio-cni does it (reference datapath §1.5), and everything that carries weft's mark is left alone. Root only.
 */
import * as Effect from "effect/Effect"
import { mustRun, run } from "./commands.ts"

/** What weft puts on its own packets: PACKET_MARK. */
export const MARK = "1337"

export interface Pods {
  /** Names of the namespaces. */
  readonly client: string
  readonly server: string
  /** In front of a program that is to run there. */
  readonly inClient: ReadonlyArray<string>
  readonly inServer: ReadonlyArray<string>
}

export const POD_IPS = {
  client: ["10.77.0.1", "fd77::1"],
  server: ["10.77.0.2", "fd77::2"],
  /** On the server's side too, but of no workload. */
  outside: "10.77.0.3"
} as const

/** Connections to this port leave the client as they are, as from a pod outside the mesh. */
export const UNCAPTURED_PORT = 7777

let count = 0

const namespace = Effect.acquireRelease(
  Effect.suspend(() => {
    count += 1
    const name = `weft-${process.pid}-${count}`
    return Effect.as(mustRun("ip", ["netns", "add", name]), name)
  }),
  (name) => run("ip", ["netns", "del", name])
)

export const pods = Effect.gen(function* () {
  const client = yield* namespace
  const server = yield* namespace
  yield* mustRun("ip", ["-n", client, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", server])
  for (const [name, addresses] of [
    [client, POD_IPS.client],
    [server, [...POD_IPS.server, POD_IPS.outside]]
  ] as const) {
    for (const address of addresses) {
      // without duplicate address detection, which would take a second
      const v6 = address.includes(":")
      const ip = ["-n", name, "addr", "add", `${address}/${v6 ? 64 : 24}`, "dev", "eth0"]
      yield* mustRun("ip", v6 ? [...ip, "nodad"] : ip)
    }
    yield* mustRun("ip", ["-n", name, "link", "set", "lo", "up"])
    yield* mustRun("ip", ["-n", name, "link", "set", "eth0", "up"])
    for (const iptables of ["iptables", "ip6tables"]) {
      const rule = (...args: ReadonlyArray<string>) =>
        mustRun("ip", ["netns", "exec", name, iptables, "-w", "-t", "nat", "-A", ...args])
      yield* rule("OUTPUT", "-p", "tcp", "--dport", String(UNCAPTURED_PORT), "-j", "RETURN")
      const unmarked = ["-m", "mark", "!", "--mark", `${MARK}/0xfff`]
      yield* rule("OUTPUT", "-p", "tcp", ...unmarked, "!", "-o", "lo", "-j", "REDIRECT", "--to-ports", "15001")
      const incoming = ["!", "-i", "lo", "!", "--dport", "15008"]
      yield* rule("PREROUTING", "-p", "tcp", ...incoming, "-j", "REDIRECT", "--to-ports", "15006")
    }
  }
  // VIPs are of no pod, and still need a way out
  yield* mustRun("ip", ["-n", client, "route", "add", "default", "via", POD_IPS.server[0]])
  const within = (name: string) => ["ip", "netns", "exec", name]
  const both: Pods = { client, server, inClient: within(client), inServer: within(server) }
  return both
})
