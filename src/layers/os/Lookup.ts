/**
 * Names by the system's resolver (`/etc/hosts`, search domains and all). Its calls sit in the libuv pool until they are
 * answered and cannot be called back, so equal questions share one, only so many are under way, and nobody waits longer
 * than the deadline.
 */
import * as Effect from "effect/Effect"
import * as Dns from "node:dns"
import { type Ip, kernelAddress } from "../../domain/Address.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"

/** An address of the wanted family if there is one, else any. */
export const lookup = (host: string, family: "IPv4" | "IPv6"): Effect.Effect<Ip, ProxyError> => {
  const unknown = Effect.fail(proxyError(Reason.UnknownHostname({ hostname: host })))
  return Effect.timeoutOrElse(
    Effect.callback<Ip, ProxyError>((resume) => {
      const asked = ask(host)
      if (asked === undefined) return resume(unknown)
      const answer = (addresses: ReadonlyArray<Dns.LookupAddress>) => {
        const wanted = addresses.find((each) => each.family === (family === "IPv6" ? 6 : 4)) ?? addresses[0]
        // the resolver may name a zone, which is no part of the address
        const ip = wanted === undefined ? undefined : kernelAddress(wanted.address, 0)?.ip
        resume(ip === undefined ? unknown : Effect.succeed(ip))
      }
      asked.add(answer)
      return Effect.sync(() => asked.delete(answer))
    }),
    { duration: DEADLINE_MS, orElse: () => unknown }
  )
}

type Waiting = Set<(addresses: ReadonlyArray<Dns.LookupAddress>) => void>

/** Undefined when too many questions are open. */
const ask = (host: string): Waiting | undefined => {
  const known = underway.get(host)
  if (known !== undefined) return known
  if (underway.size >= MOST) return undefined
  const waiting: Waiting = new Set()
  underway.set(host, waiting)
  Dns.lookup(host, { all: true, verbatim: true }, (error, addresses) => {
    underway.delete(host)
    for (const answer of waiting) answer(error === null ? addresses : [])
  })
  return waiting
}

const underway = new Map<string, Waiting>()
const DEADLINE_MS = 5_000
const MOST = 256
