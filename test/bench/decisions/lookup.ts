/**
 * Lookups of services by address, range of addresses and hostname, of random ones among so many. About a thousand of those
 * that are in use are kept decoded; where more are asked for, decoding is part of it.
 */
import type { Ip } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import type { Mesh } from "../../../src/domain/mesh/Mesh.ts"
import type { Service } from "../../../src/domain/mesh/Service.ts"
import { ipAt } from "../../support/largeMesh.ts"
import { service } from "../../support/meshes.ts"
import { meshOf } from "../../support/meshOf.ts"
import { seeded } from "../../support/Seeded.ts"
import { grouped, type Measured } from "./Measured.ts"
import { usPerCall } from "./time.ts"

export const lookup = (): ReadonlyArray<Measured> =>
  SIZES.flatMap(([services, inUse]) => {
    const mesh = meshOf({ services: Array.from({ length: services }, (_, index) => serviceAt(index)) })
    const subject = `${grouped(services)} services${inUse < services ? `, ${grouped(inUse)} in use` : ""}`
    return LOOKUPS.map(({ by, finderAt }) => ({
      case: `lookup by ${by}`,
      subject,
      unit: "ns",
      value: nsToFind(drawn(services, inUse, (index) => finderAt(mesh, index)))
    }))
  })

const nsToFind = (finders: ReadonlyArray<Finder>): number => {
  if (finders.some((find) => find() === undefined)) throw new Error("all were to be found")
  let at = 0
  return usPerCall(() => finders[(at = (at + 1) & (DRAWN - 1))]!()) * 1_000
}

/** At `172.x.x.x`; the range at `20.x.x.x`, of one of nine lengths. */
const serviceAt = (index: number) =>
  service(`app-${index}`, [ipAt(172, index)], {
    cidrVips: [{ network: "", cidr: parseCidr(`${ipAt(20, index * 256)}/${24 + (index % 9)}`)! }]
  })

/** Of those in use, which are spread over all. */
const drawn = <A>(services: number, inUse: number, at: (index: number) => A): ReadonlyArray<A> => {
  const random = seeded(services)
  const every = services / inUse
  return Array.from({ length: DRAWN }, () => at(random.whole(inUse) * every))
}

type Finder = () => Service | undefined

interface Lookup {
  readonly by: string
  readonly finderAt: (mesh: Mesh, index: number) => Finder
}

const LOOKUPS: ReadonlyArray<Lookup> = [
  { by: "VIP", finderAt: (mesh, index) => byAddress(mesh, ipAt(172, index)) },
  { by: "CIDR", finderAt: (mesh, index) => byAddress(mesh, ipAt(20, index * 256)) },
  {
    by: "hostname",
    finderAt: (mesh, index) => {
      const hostname = `app-${index}.shop.svc.cluster.local`
      return () => mesh.serviceByHostname(hostname, CLIENT)
    }
  }
]

const byAddress =
  (mesh: Mesh, ip: Ip): Finder =>
  () =>
    mesh.serviceByVip("", ip, CLIENT)

/** Nobody's namespace: so a lookup goes past it. */
const CLIENT = "elsewhere"
/** Services, and how many of them are asked for. */
const SIZES = [
  [10, 10],
  [1_000, 1_000],
  [10_000, 1_000],
  [10_000, 10_000]
] as const
const DRAWN = 2 ** 14
