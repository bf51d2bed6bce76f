/**
 * Who a certificate speaks for, from the text in which Node hands out subject alternative names, and the verdicts on it
 * for both sides of mutual TLS (reference datapath §3.2, §3.3). The chain is already verified when these are asked.
 *
 * Node joins names by `, ` and writes a value that holds a comma, quote or control character as a JSON string without
 * commas (since CVE-2021-44532), so a separator can never come out of a value. Text that breaks this rule has no names.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { formatIdentity, type Identity, parseIdentity, type Spiffe } from "../Identity.ts"

/** The peer's certificate is valid, and not for whom we wanted. */
export class SpiffeMismatch extends Data.TaggedError("SpiffeMismatch")<{
  readonly expected: string
  readonly presented: ReadonlyArray<string>
}> {
  override get message() {
    const presented = this.presented.map((uri) => JSON.stringify(uri)).join(", ") || "no URI at all"
    return `expected ${this.expected}, but the peer's certificate presents ${presented}`
  }
}

/** The server side: some id of the peer is of our trust domain. The first such id is the principal. */
export const verifyClient = (
  san: string | undefined,
  ourTrustDomain: string
): Result.Result<Spiffe, SpiffeMismatch> => {
  // ztunnel takes the first id of any trust domain; but policies must not judge a name that this check did not pass
  const principal = spiffeIdsOf(san).find(({ trustDomain }) => trustDomain === ourTrustDomain)
  if (principal !== undefined) return Result.succeed(formatIdentity(principal))
  return mismatch(`a SPIFFE id of trust domain ${JSON.stringify(ourTrustDomain)}`, san)
}

/** The client side: some id of the peer is one of those accepted, character by character. None accepted: none passes. */
export const verifyServer = (
  san: string | undefined,
  accepted: ReadonlyArray<Spiffe>
): Result.Result<Spiffe, SpiffeMismatch> => {
  const match = spiffeIdsOf(san)
    .map(formatIdentity)
    .find((id) => accepted.includes(id))
  if (match !== undefined) return Result.succeed(match)
  return mismatch(accepted.length === 0 ? "nobody (no identity is accepted here)" : accepted.join(" or "), san)
}

/** The URIs that are SPIFFE ids, in the order of the certificate. What is not visible ASCII is no id. */
export const spiffeIdsOf = (san: string | undefined): ReadonlyArray<Identity> =>
  uriNamesOf(san).flatMap((uri) => {
    const identity = VISIBLE.test(uri) ? parseIdentity(uri) : undefined
    return identity !== undefined && Result.isSuccess(identity) ? [identity.success] : []
  })

/** Values of all URI names, unescaped, one character per octet. */
export const uriNamesOf = (san: string | undefined): ReadonlyArray<string> => {
  if (san === undefined || san === "") return []
  const uris: Array<string> = []
  for (const name of san.split(", ")) {
    if (!NAME.test(name)) return []
    if (name.startsWith(`${URI}"`)) {
      const unescaped: unknown = JSON.parse(name.slice(URI.length))
      uris.push(String(unescaped))
    } else if (name.startsWith(URI)) uris.push(name.slice(URI.length))
  }
  return uris
}

const mismatch = (expected: string, san: string | undefined) =>
  Result.fail(new SpiffeMismatch({ expected, presented: uriNamesOf(san) }))

const URI = "URI:"
const VISIBLE = /^[!-~]+$/
/** `Kind:value`, the value bare or a JSON string: the second form never makes `JSON.parse` throw. */
const NAME = /^[A-Za-z0-9 ]+:(?:[^"'\\,\p{Cc}]*|"(?:[^"\\,\p{Cc}]|\\["\\]|\\u[\da-fA-F]{4})*")$/u
