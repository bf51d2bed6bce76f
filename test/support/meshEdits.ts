/**
 * Edits of a mesh file whose arrival a test can wait for: each brings a service with an address that nobody had before,
 * and has arrived when that address answers. For a weft with one shard, whose own workload stays in the mesh.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import { ipUnsafe } from "../../src/domain/Address.ts"
import type { MeshResources } from "../../src/domain/mesh/MeshFile.ts"
import { eventually } from "./eventually.ts"
import { behind, meshFile, service, workload } from "./meshes.ts"
import { loopbackAddress } from "./ownAddress.ts"
import { askSocks5, tcpServer } from "./tcpPeers.ts"
import type { Weft } from "./WeftProcess.ts"

export type Resources = Pick<MeshResources, "services" | "workloads"> & Partial<MeshResources>

export const meshEdits = Effect.fnUntraced(function* (
  { meshPath, ports }: Weft & { readonly meshPath: string },
  /** That of the weft. */
  network = ""
) {
  const there = yield* tcpServer(loopbackAddress(), (socket) => void socket.resume().end())
  return (resources: Resources): Effect.Effect<void> =>
    Effect.promise(async () => {
      const target = { host: loopbackAddress(), port: PORT }
      const vips = [{ network, ip: ipUnsafe(target.host) }]
      const sign = service("sign", [], { vips, ports: new Map([[PORT, there.port]]) })
      const behindIt = workload("sign", [there.host], { network, protocol: "TCP", ...behind(sign) })
      Fs.writeFileSync(
        meshPath,
        meshFile({
          ...resources,
          services: [...resources.services, sign],
          workloads: [...resources.workloads, behindIt]
        })
      )
      const ask = Effect.map(askSocks5(ports.socks5, target), ({ reply }) => reply === 0)
      await eventually(() => Effect.runPromise(Effect.scoped(ask)), "the edit of the mesh file", ARRIVES_MS)
    })
})

/** Nobody listens there, on any address. */
const PORT = 1
/** On a busy machine. */
const ARRIVES_MS = 15_000
