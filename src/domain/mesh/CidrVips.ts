/**
 * Services that own whole ranges of addresses (reference state §3.5). A range is found by its masked address, tried for
 * each prefix length that occurs on the network, longest first: at most 33 or 129 steps, however many ranges there are.
 */
import type { Ip } from "../Address.ts"
import { isIpv6 } from "../Address.ts"
import { type Cidr, ipWords, type IpWords } from "../Cidr.ts"
import type { Service } from "./Service.ts"
import { type Ranked, scopesOf, scopesSeenBy, serviceOrder } from "./ServiceRank.ts"
import { SortedIndex } from "./SortedIndex.ts"
import { type Committed, Versioned } from "./Versioned.ts"

/** How many ranges of a length there are. */
interface Length {
  readonly length: number
  readonly count: number
}

type Ranges = Service["cidrVips"]

export class CidrVips implements Committed {
  readonly #ranges = new SortedIndex<Ranked>(serviceOrder)
  /** Those in use, longest first. */
  readonly #lengths = new Versioned<ReadonlyArray<Length>>()

  /** Of those that the client sees: one of its namespace, then the narrower range, then as services rank. */
  find(network: string, ip: Ip, clientNamespace: string | undefined): Ranked | undefined {
    let words: IpWords | undefined
    for (const scope of scopesSeenBy(clientNamespace)) {
      const family = familyKey(scope, network, isIpv6(ip))
      for (const { length } of this.#lengths.get(family) ?? NONE) {
        words ??= ipWords(ip)
        const found = this.#ranges.first(rangeKey(family, words, length))
        if (found !== undefined) return found
      }
    }
    return undefined
  }

  put(service: Ranked, ranges: Ranges): void {
    for (const [key, { family, length }] of keysOf(service, ranges)) {
      this.#ranges.put(key, service)
      this.#count(family, length, 1)
    }
  }

  /** With the ranges that it was put with. */
  delete(service: Ranked, ranges: Ranges): void {
    for (const [key, { family, length }] of keysOf(service, ranges)) {
      this.#ranges.delete(key, service)
      this.#count(family, length, -1)
    }
  }

  commit(): void {
    this.#ranges.commit()
    this.#lengths.commit()
  }

  merge(more: () => boolean): boolean {
    return this.#ranges.merge(more) && this.#lengths.merge(more)
  }

  #count(family: string, length: number, change: 1 | -1) {
    const lengths = this.#lengths.staged(family) ?? NONE
    const count = (lengths.find((each) => each.length === length)?.count ?? 0) + change
    const others = lengths.filter((each) => each.length !== length)
    const after = count === 0 ? others : [...others, { length, count }].toSorted((a, b) => b.length - a.length)
    if (after.length === 0) this.#lengths.delete(family)
    else this.#lengths.set(family, after)
  }
}

/** Each range once, however often the service has it. */
const keysOf = (service: Ranked, ranges: Ranges) => {
  const keys = new Map<string, { readonly family: string; readonly length: number }>()
  for (const { cidr, network } of ranges) {
    for (const scope of scopesOf(service)) {
      const family = familyKey(scope, network, isV6Range(cidr))
      keys.set(rangeKey(family, cidr.words, cidr.length), { family, length: cidr.length })
    }
  }
  return keys
}

const isV6Range = ({ words }: Cidr) => words.length > 1

const familyKey = (scope: string, network: string, v6: boolean) => `${scope}${network}/${v6 ? 6 : 4}`

const rangeKey = (family: string, words: IpWords, length: number): string => {
  let key = `${family}/${length}`
  for (let index = 0, left = length; index < words.length; index += 1, left -= 32) {
    // JavaScript shifts by 32 as by 0
    key += left <= 0 ? "/0" : `/${words[index]! & (-1 << Math.max(0, 32 - left))}`
  }
  return key
}

const NONE: ReadonlyArray<Length> = []
