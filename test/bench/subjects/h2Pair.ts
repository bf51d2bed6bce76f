/** The bare pair over `node:http2` CONNECT with mutual TLS: what HBONE is held against. */
import { startNode, temporaryDirectory } from "../children.ts"
import { makeAuthority, type PemPair } from "./certificates.ts"
import { socksEntries, type Subject } from "./Subject.ts"

export const h2Pair: Subject = {
  name: "h2-pair",
  missing: () => undefined,
  start: async (targets) => {
    const authority = await makeAuthority(await temporaryDirectory())
    const args = (own: PemPair) => [own.certPath, own.keyPath, authority.certPath]
    const [client, server] = await Promise.all([
      authority.issue("spiffe://bench/c"),
      authority.issue("spiffe://bench/s")
    ])
    const destination = await startNode<{ port: number }>(FILE, args(server))
    const source = await startNode<{ port: number }>(FILE, [...args(client), String(destination.ready.port)])
    return {
      entries: socksEntries({ host: "127.0.0.1", port: source.ready.port }, targets.host, targets),
      processes: [
        { role: "source", pid: source.child.pid },
        { role: "destination", pid: destination.child.pid }
      ],
      stop: async () => {
        await source.child.stop()
        await destination.child.stop()
      }
    }
  }
}

const FILE = new URL("h2Process.ts", import.meta.url)
