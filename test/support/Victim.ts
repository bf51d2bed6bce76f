/**
 * One weft process that is both ends of its mesh: SOCKS5 to the echo server goes through its own tunnel, to its own
 * inbound listener. Tests throw things at it and ask afterwards whether it is as it was before.
 */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import * as Http2 from "node:http2"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { roundTrip } from "./Connecting.ts"
import { eventually } from "./eventually.ts"
import { meshFile, workload } from "./meshes.ts"
import { loopbackAddress } from "./ownAddress.ts"
import { descriptors, descriptorsAtRest, listenEcho, type Server, type Target } from "./rawTcp.ts"
import { makeTestCa } from "./TestCa.ts"
import { startWeft, tempDir, type Weft } from "./WeftProcess.ts"

/** How soon weft gives up on a peer that says nothing; short, so that tests need not wait. */
export const HANDSHAKE_MS = 500

export interface VictimShape {
  readonly weft: Weft
  /** An address of the mesh: the way there is SOCKS5, tunnel, inbound. */
  readonly echo: Server
  readonly inbound: Target
  /** A client that weft trusts, and speaks whatever it likes inside TLS. */
  readonly openTls: () => Promise<Tls.TLSSocket>
  readonly openHttp2: () => Promise<Http2.ClientHttp2Session>
  /** It lives, a good connection works, and no descriptor is left over. */
  readonly unharmed: () => Promise<void>
}

export class Victim extends Context.Service<Victim, VictimShape>()("weft/test/Victim") {
  static readonly layer = (options: Parameters<typeof startVictim>[0] = {}) => Layer.effect(this, startVictim(options))
}

const startVictim = Effect.fnUntraced(function* (options: {
  readonly env?: Readonly<Record<string, string>>
  readonly prefix?: ReadonlyArray<string>
}) {
  const address = loopbackAddress()
  const dir = yield* tempDir
  const ca = yield* Effect.promise(() => makeTestCa())
  const [certPath, keyPath] = [Path.join(dir, "ca.crt"), Path.join(dir, "ca.key")]
  Fs.writeFileSync(certPath, ca.certPem)
  Fs.writeFileSync(keyPath, ca.keyPem)
  const weft: Weft = yield* startWeft({
    workload: "shop/victim/default",
    mesh: meshFile({ workloads: [workload("victim", [address])], services: [] }),
    bind: address,
    prefix: options.prefix ?? [],
    env: {
      // one shard, so that descriptors are not given back for the sake of the others
      ZTUNNEL_WORKER_THREADS: "1",
      WEFT_CA_CERT: certPath,
      WEFT_CA_KEY: keyPath,
      WEFT_HANDSHAKE_TIMEOUT: `${HANDSHAKE_MS}ms`,
      POOL_UNUSED_RELEASE_TIMEOUT: "50ms",
      ...options.env
    }
  })
  const echo = yield* listenEcho(address)
  const { inbound, socks5 } = weft.ports
  const { certPem: cert, keyPem: key } = yield* Effect.promise(() =>
    ca.leaf({ uris: ["spiffe://cluster.local/ns/shop/sa/default"] })
  )
  const openTls = () =>
    new Promise<Tls.TLSSocket>((resolve, reject) => {
      const socket = Tls.connect({ ...inbound, cert, key, ca: ca.certPem, ALPNProtocols: ["h2"], checkServerIdentity })
      socket.once("secureConnect", () => resolve(socket)).once("error", reject)
      // what comes later is for whoever reads
      socket.on("error", () => {})
    })
  const openHttp2 = async () => {
    const socket = await openTls()
    const session = Http2.connect("https://victim", { createConnection: () => socket })
    session.on("error", () => {})
    return session
  }
  yield* Effect.promise(async () => {
    for (let time = 0; time < 3; time++) await roundTrip(socks5, echo)
  })
  const baseline = yield* Effect.promise(() => descriptorsAtRest(weft.pid))
  const unharmed = async () => {
    await roundTrip(socks5, echo)
    await eventually(
      () => descriptors(weft.pid) === baseline,
      () => `${descriptors(weft.pid)} descriptors are open, ${baseline} were`
    )
    assert.notInclude(weft.lines.join("\n"), "a connection's fiber died")
    assert.notInclude(weft.lines.join("\n"), "a shard died")
  }
  return { weft, echo, inbound, openTls, openHttp2, unharmed }
})

/** The victim has no name, only a SPIFFE identity. */
const checkServerIdentity = () => undefined
