/**
 * SPIRE's Delegated Identity API, on the agent's admin socket: a stream of SVIDs for each identity, found by what Kubernetes
 * says of its workloads, and one stream of all bundles, of which each identity trusts that of its own trust domain. All
 * of them share one connection.
 */
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as RcRef from "effect/RcRef"
import * as Result from "effect/Result"
import { parseIdentity, type Spiffe } from "../../domain/Identity.ts"
import {
  DelegatedIdentity,
  type SubscribeToX509SVIDsResponse,
  type X509SVIDWithKey
} from "../../domain/xds/gen/delegatedidentity_pb.ts"
import { unixSocketClient } from "../grpc/UnixSocketClient.ts"
import { AWAY, makeSpireStream, PERMISSION_DENIED, type SpireStream, UNIMPLEMENTED } from "./SpireStream.ts"
import type { SvidSource } from "./SvidSource.ts"

/** `told` is called after each message. */
export const delegatedIdentity = Effect.fnUntraced(function* (socketPath: string, told: () => void) {
  const connection = yield* RcRef.make({ acquire: unixSocketClient(socketPath, []) })
  const client = RcRef.get(connection)
  const bundles = makeSpireStream(
    socketPath,
    Effect.flatMap(client, ({ serverStream }) => serverStream(DelegatedIdentity.method.subscribeToX509Bundles, {})),
    told
  )
  yield* Effect.forkScoped(bundles.run)
  const streams = new Map<Spiffe, SpireStream<SubscribeToX509SVIDsResponse>>()
  const running = yield* FiberMap.make<Spiffe>()

  const streamOf = Effect.fnUntraced(function* (identity: Spiffe) {
    const known = streams.get(identity)
    if (known !== undefined) return known
    const open = Effect.flatMap(client, ({ serverStream }) =>
      serverStream(DelegatedIdentity.method.subscribeToX509SVIDs, { selectors: selectorsOf(identity) })
    )
    const stream = makeSpireStream(socketPath, open, told)
    streams.set(identity, stream)
    yield* FiberMap.run(running, identity, stream.run)
    return stream
  })

  const source: SvidSource = {
    heard: (identity) =>
      Effect.flatMap(streamOf(identity), ({ heard }) =>
        Effect.all([heard, bundles.heard], { concurrency: "unbounded", discard: true })
      ),
    given: (identity) => {
      const svids = streams.get(identity)?.current()?.x509Svids ?? []
      const svid = svids.find((svid) => idOf(svid) === identity)
      if (svid === undefined) return Result.fail(notGiven(identity, svids))
      const roots = rootsOf(identity, bundles.current()?.caCertificates ?? {})
      return Result.map(roots, (roots) => ({
        chain: Buffer.concat(svid.x509Svid?.certChain ?? []),
        key: svid.x509SvidKey,
        roots
      }))
    },
    forget: (identity) =>
      Effect.suspend(() => {
        streams.delete(identity)
        return FiberMap.remove(running, identity)
      }),
    advice: (_identity, { code }) => (code === PERMISSION_DENIED || code === UNIMPLEMENTED ? DELEGATE : AWAY)
  }
  return source
})

const selectorsOf = (identity: Spiffe) =>
  Result.match(parseIdentity(identity), {
    onSuccess: ({ namespace, serviceAccount }) => [
      { type: "k8s", value: `ns:${namespace}` },
      { type: "k8s", value: `sa:${serviceAccount}` }
    ],
    onFailure: () => []
  })

const idOf = ({ x509Svid }: X509SVIDWithKey): string => `spiffe://${x509Svid?.id?.trustDomain}${x509Svid?.id?.path}`

const notGiven = (identity: Spiffe, svids: ReadonlyArray<X509SVIDWithKey>): string => {
  const selectors = selectorsOf(identity)
    .map(({ type, value }) => `${type}:${value}`)
    .join(" and ")
  const others = svids.map((svid) => JSON.stringify(idOf(svid))).join(", ")
  const instead = svids.length === 0 ? "it has no SVID" : `the SVIDs that it has are of others (${others})`
  return `${instead} for ${selectors}: SPIRE needs a registration entry with SPIFFE id ${identity}, and no selectors but these`
}

const rootsOf = (identity: Spiffe, bundles: { readonly [trustDomainId: string]: Uint8Array }) => {
  const domains = Object.entries(bundles).map(([id, roots]) => ({ domain: id.replace(/^spiffe:\/\//, ""), roots }))
  const own = domains.find(({ domain }) => identity.startsWith(`spiffe://${domain}/`))
  if (own !== undefined) return Result.succeed(own.roots)
  const others = domains.map(({ domain }) => JSON.stringify(domain)).join(", ") || "none"
  return Result.fail(`the bundles that it has are of other trust domains (${others}) than that of ${identity}`)
}

const DELEGATE =
  "this has to be the agent's admin socket, and this process has to have a registration entry whose SPIFFE id is among the agent's authorized_delegates"
