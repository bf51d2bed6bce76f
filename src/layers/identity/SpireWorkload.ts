/**
 * The SPIFFE Workload API: the agent finds out who asks, and streams all the SVIDs that this process is entitled to, with
 * the roots of their trust domain. Federated bundles are not trusted.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { SpiffeWorkloadAPI } from "../../domain/xds/gen/spiffe_pb.ts"
import { unixSocketClient } from "../grpc/UnixSocketClient.ts"
import { AWAY, makeSpireStream, PERMISSION_DENIED } from "./SpireStream.ts"
import type { SvidSource } from "./SvidSource.ts"

/** `told` is called after each message. */
export const workloadApi = Effect.fnUntraced(function* (socketPath: string, told: () => void) {
  const open = Effect.flatMap(unixSocketClient(socketPath, SECURITY_HEADER), (client) =>
    client.serverStream(SpiffeWorkloadAPI.method.fetchX509SVID, {})
  )
  const { current, heard, run } = makeSpireStream(socketPath, open, told)
  yield* Effect.forkScoped(run)
  const source: SvidSource = {
    heard: () => heard,
    given: (identity) => {
      const svids = current()?.svids ?? []
      const svid = svids.find(({ spiffeId }) => spiffeId === identity)
      if (svid !== undefined) return Result.succeed({ chain: svid.x509Svid, key: svid.x509SvidKey, roots: svid.bundle })
      const others = svids.map(({ spiffeId }) => JSON.stringify(spiffeId)).join(", ") || "none"
      return Result.fail(`the SVIDs that it gives this process are of others (${others}): ${entryFor(identity)}`)
    },
    forget: () => Effect.void,
    advice: (identity, { code }) => (code === PERMISSION_DENIED ? entryFor(identity) : AWAY)
  }
  return source
})

const entryFor = (identity: string) =>
  `SPIRE needs a registration entry with SPIFFE id ${identity}, and selectors that match this process`

/** Without it the agent refuses: no browser can be made to send it. */
const SECURITY_HEADER = [["workload.spiffe.io", "true"]] as const
