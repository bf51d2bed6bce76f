/**
 * Names by the system's resolver (`/etc/hosts`, search domains and all), kept for a while: it does not say how long an
 * answer is good for. Its calls sit in the libuv pool until they are answered and cannot be called back, so equal questions
 * share one, only so many are under way, and nobody waits longer than the deadline. Who asks may be interrupted.
 *
 * One for each thread; a test gives its own.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Dns from "node:dns"
import { type Ip, kernelAddress } from "../../domain/Address.ts"

export interface Lookup {
  /** All addresses of the name, each once, in the resolver's order. None: it has none, or nobody could say in time. */
  readonly addresses: (hostname: string) => Effect.Effect<ReadonlyArray<Ip>>
}

export const Lookup: Context.Reference<Lookup> = Context.Reference("weft/layers/os/Lookup", {
  defaultValue: () => makeLookup(systemResolver)
})

/** Answers once, with addresses as the system writes them; with none when it fails. */
export type Resolver = (hostname: string, answer: (addresses: ReadonlyArray<string>) => void) => void

export const makeLookup = (resolver: Resolver): Lookup => {
  const names = new NameCache(resolver)
  return {
    addresses: (hostname) =>
      Effect.flatMap(Clock.Clock, (clock) => {
        const nowMs = () => Number(clock.currentTimeNanosUnsafe()) / 1e6
        const known = names.known(hostname, nowMs())
        if (known !== undefined) return Effect.succeed(known)
        return Effect.timeoutOrElse(
          Effect.callback<ReadonlyArray<Ip>>((resume) => {
            const giveUp = names.ask(hostname, nowMs, (addresses) => resume(Effect.succeed(addresses)))
            return Effect.sync(giveUp)
          }),
          { duration: DEADLINE_MS, orElse: () => Effect.succeed([]) }
        )
      })
  }
}

type Answer = (addresses: ReadonlyArray<Ip>) => void

class NameCache {
  readonly #resolver: Resolver
  readonly #underway = new Map<string, Set<Answer>>()
  /** Oldest answer first. */
  readonly #kept = new Map<string, { readonly addresses: ReadonlyArray<Ip>; readonly untilMs: number }>()

  constructor(resolver: Resolver) {
    this.#resolver = resolver
  }

  known(hostname: string, nowMs: number): ReadonlyArray<Ip> | undefined {
    const kept = this.#kept.get(hostname)
    return kept !== undefined && nowMs < kept.untilMs ? kept.addresses : undefined
  }

  /** What it returns takes `answer` out again. */
  ask(hostname: string, nowMs: () => number, answer: Answer): () => void {
    const known = this.#underway.get(hostname)
    if (known === undefined && this.#underway.size >= MOST_UNDERWAY) {
      answer([])
      return ignore
    }
    const waiting = known ?? new Set()
    waiting.add(answer)
    if (known === undefined) this.#resolve(hostname, nowMs, waiting)
    return () => waiting.delete(answer)
  }

  #resolve(hostname: string, nowMs: () => number, waiting: Set<Answer>): void {
    this.#underway.set(hostname, waiting)
    this.#resolver(hostname, (texts) => {
      this.#underway.delete(hostname)
      // the resolver may name a zone, which is no part of the address
      const ips = texts.map((text) => kernelAddress(text, 0)?.ip).filter((ip) => ip !== undefined)
      const addresses = [...new Set(ips)]
      // a name that is not there yet may be soon
      if (addresses.length > 0) this.#keep(hostname, addresses, nowMs() + KEPT_MS)
      for (const answer of waiting) answer(addresses)
    })
  }

  #keep(hostname: string, addresses: ReadonlyArray<Ip>, untilMs: number): void {
    this.#kept.delete(hostname)
    this.#kept.set(hostname, { addresses, untilMs })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest)
  }
}

const systemResolver: Resolver = (hostname, answer) =>
  Dns.lookup(hostname, { all: true, verbatim: true }, (error, addresses) =>
    answer(error === null ? addresses.map(({ address }) => address) : [])
  )

const ignore = () => {}
const DEADLINE_MS = 5_000
const MOST_UNDERWAY = 256
const KEPT_MS = 15_000
const MOST_KEPT = 4_096
