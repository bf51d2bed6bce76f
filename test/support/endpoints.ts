/**
 * The endpoints of services, played by the test: each is the HBONE end of one workload, on an address of its own and a
 * port that all of them have, and sends everything back. A weft connects to them for the applications of `shop/cart-1`.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { identityOf, type Workload } from "../../src/domain/mesh/Workload.ts"
import { type Forwarder, testWaypoint } from "./hboneForwarders.ts"
import { meshEdits, type Resources } from "./meshEdits.ts"
import { meshFile, workload } from "./meshes.ts"
import { caFiles, type Env, meshAddresses, startClientSide } from "./meshPair.ts"
import { loopbackAddress } from "./ownAddress.ts"
import { connectBySocks5, type Target } from "./rawTcp.ts"

export interface EndpointsOptions<Name extends string> {
  readonly names: ReadonlyArray<Name>
  /** The mesh to start with. */
  readonly mesh: (place: Placing<Name>) => Resources
  /** Of the workload that connects. */
  readonly client?: Partial<Workload>
  readonly env?: Env
}

/** The workload of that name, at its address. */
export type Placing<Name extends string> = (name: Name, rest?: Partial<Workload>) => Workload

export const startEndpoints = Effect.fnUntraced(function* <Name extends string>(options: EndpointsOptions<Name>) {
  const { client = {}, env = {}, mesh, names } = options
  const addresses = meshAddresses()
  const authority = yield* caFiles
  const servers = new Map<Name, Forwarder>()
  const place: Placing<Name> = (name, rest) => workload(name, [servers.get(name)!.host], rest)
  let hbone = {}
  for (const name of names) {
    const leaf = yield* Effect.promise(() => authority.ca.leaf({ uris: [identityOf(workload(name, []))] }))
    const server = yield* testWaypoint({ host: loopbackAddress(), ...hbone }, authority.ca, leaf)
    hbone = { port: server.port }
    servers.set(name, server)
  }
  const cart = workload("cart-1", [addresses.client], { serviceAccount: "cart", ...client })
  const withCart = ({ workloads, ...rest }: Resources) => ({ ...rest, workloads: [cart, ...workloads] })
  const port = servers.get(names[0]!)!.port
  const weft = yield* startClientSide(addresses, meshFile(withCart(mesh(place))), port, { ...authority.env, ...env })
  const apply = yield* meshEdits(weft)
  const carried = () => names.map((name) => servers.get(name)!.carried.length)

  /** Opens that many, so many at a time; `onOpen` gets each, else it is closed at once. Answers how many each endpoint got. */
  const open = async (target: Target, count: number, { atATime = 1, onOpen = destroy } = {}) => {
    const before = carried()
    let left = count
    const one = async () => {
      while (left-- > 0) onOpen(await connectBySocks5(weft.ports.socks5, target))
    }
    await Promise.all(Array.from({ length: atATime }, one))
    return carried().map((now, index) => now - before[index]!)
  }
  const edit = (resources: Resources) => apply(withCart(resources))
  return { weft, edit, open, place }
})

type Socket = Awaited<ReturnType<typeof connectBySocks5>>

const destroy = (socket: Socket): void => void socket.destroy()

/** Whether each of `counts` is within three standard deviations of its share, as a binomial has them. */
export const isShared = (counts: ReadonlyArray<number>, weights: ReadonlyArray<number>): boolean => {
  const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)
  assert.isAbove(sum(counts), 100)
  return counts.every((count, index) => {
    const share = weights[index]! / sum(weights)
    const sigma = Math.sqrt(sum(counts) * share * (1 - share))
    return Math.abs(count - sum(counts) * share) <= 3 * sigma
  })
}
