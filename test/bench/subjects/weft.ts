/**
 * weft itself, one shard. Passthrough: one process, to an address that the mesh does not know. HBONE: two processes on
 * two loopback addresses, with certificates from one root; the client enters the first, the server's connection comes
 * from the second. Entered by SOCKS5, so that no redirection, and no root, is needed.
 */
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as after } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { type Child, startProgram, temporaryDirectory } from "../children.ts"
import { INSPECT } from "../../support/Inspector.ts"
import { makeAuthority, type PemPair } from "./certificates.ts"
import { WEFT_HBONE, WEFT_PASSTHROUGH } from "./names.ts"
import { freePorts, socksEntries, type Subject } from "./Subject.ts"

export const weftPassthrough: Subject = {
  name: WEFT_PASSTHROUGH,
  missing: () => missing(),
  start: async (targets) => {
    const directory = await temporaryDirectory()
    const address = "127.0.0.30"
    const proxy = await startProxy({
      address,
      ports: await choosePorts(),
      mesh: await writeMesh(directory, [{ name: "client", address, protocol: "TCP" }]),
      name: "client",
      root: await makeAuthority(directory)
    })
    return {
      entries: socksEntries(proxy.socks, targets.host, targets),
      processes: [{ role: "proxy", ...proxy.child }],
      stop: proxy.child.stop
    }
  }
}

export const weftHbone: Subject = {
  name: WEFT_HBONE,
  missing: () => missing(),
  start: async (targets) => {
    const directory = await temporaryDirectory()
    const [client, server] = ["127.0.0.31", "127.0.0.32"]
    const common = {
      // both sides take the same HBONE port for granted
      ports: await choosePorts(),
      mesh: await writeMesh(directory, [
        { name: "client", address: client, protocol: "HBONE" },
        { name: "server", address: server, protocol: "HBONE" }
      ]),
      root: await makeAuthority(directory)
    }
    const destination = await startProxy({ ...common, address: server, name: "server" })
    const source = await startProxy({ ...common, address: client, name: "client" })
    return {
      entries: socksEntries(source.socks, server, targets),
      processes: [
        { role: "source", ...source.child },
        { role: "destination", ...destination.child }
      ],
      stop: async () => {
        await source.child.stop()
        await destination.child.stop()
      }
    }
  }
}

interface Proxy {
  readonly address: string
  readonly ports: Ports
  readonly mesh: string
  readonly name: string
  readonly root: PemPair
}

type Ports = Awaited<ReturnType<typeof choosePorts>>

const startProxy = async ({ address, mesh, name, ports, root }: Proxy) => {
  const child = startProgram(process.execPath, [MAIN, "proxy"], {
    UV_THREADPOOL_SIZE: "32",
    RUST_LOG: "warn",
    PROXY_MODE: "dedicated",
    PROXY_WORKLOAD_INFO: `bench/${name}/${name}`,
    LOCAL_XDS_PATH: mesh,
    XDS_ADDRESS: "",
    ISTIO_META_DNS_CAPTURE: "false",
    ZTUNNEL_WORKER_THREADS: "1",
    UNSTABLE_ENABLE_SOCKS5: "true",
    WEFT_BIND_ADDRESS: address,
    WEFT_OUTBOUND_PORT: String(ports.outbound),
    WEFT_INBOUND_PORT: String(ports.inbound),
    WEFT_INBOUND_PLAINTEXT_PORT: String(ports.inboundPlaintext),
    WEFT_SOCKS5_PORT: String(ports.socks5),
    WEFT_READINESS_PORT: String(ports.readiness),
    WEFT_CA_CERT: root.certPath,
    WEFT_CA_KEY: root.keyPath,
    NODE_OPTIONS: INSPECT
  })
  await ready(`http://${address}:${ports.readiness}/healthz/ready`, child)
  return { child, socks: { host: address, port: ports.socks5 } }
}

const ready = async (url: string, child: Child): Promise<void> => {
  const deadline = performance.now() + START_TIMEOUT
  for (;;) {
    const answer = await fetch(url).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer?.ok === true) return
    if (performance.now() > deadline || child.process.exitCode !== null)
      throw new Error(`weft does not become ready at ${url}:\n${child.output()}`)
    await after(50)
  }
}

const choosePorts = async () => {
  const [outbound = 0, inbound = 0, inboundPlaintext = 0, socks5 = 0, readiness = 0] = await freePorts(5, "0.0.0.0")
  return { outbound, inbound, inboundPlaintext, socks5, readiness }
}

interface MeshWorkload {
  readonly name: string
  readonly address: string
  readonly protocol: "TCP" | "HBONE"
}

/** The mesh file, as JSON, which is YAML. */
const writeMesh = async (directory: string, workloads: ReadonlyArray<MeshWorkload>): Promise<string> => {
  const path = join(directory, "mesh.yaml")
  const text = JSON.stringify({
    workloads: workloads.map(({ address, name, protocol }) => ({
      uid: `bench//Pod/bench/${name}`,
      name,
      namespace: "bench",
      serviceAccount: name,
      trustDomain: "cluster.local",
      workloadIps: [address],
      protocol,
      services: {}
    }))
  })
  await writeFile(path, text)
  return path
}

const missing = () => (existsSync(MAIN) ? undefined : "src/programs/main.ts is not there")

const MAIN = fileURLToPath(new URL("../../../src/programs/main.ts", import.meta.url))
const START_TIMEOUT = 20_000
