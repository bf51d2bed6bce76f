/**
 * The `forwarded` header of a CONNECT (RFC 7239; reference datapath §3.4): who the application's peer is, and which
 * service was meant. The host is a claim of the client: it serves attribution, never a decision.
 */
import { formatSocketAddress, type SocketAddress } from "../Address.ts"

/** `for="10.0.0.1:4242";host=web.prod.svc.cluster.local`. The host goes unquoted; one that would need quotes is left out. */
export const formatForwarded = (source: SocketAddress, host: string | undefined): string => {
  const origin = `for="${formatSocketAddress(source)}"`
  return host !== undefined && TOKEN.test(host) ? `${origin};host=${host}` : origin
}

/** The first `host` that is not empty, quoted or not, or undefined; also where the header is malformed up to there. */
export const parseForwardedHost = (header: string): string | undefined => {
  if (!PRINTABLE.test(header)) return undefined
  // `matchAll` would compile the expression again, for every connection
  PAIRS.lastIndex = 0
  for (let pair = PAIRS.exec(header); pair !== null; pair = PAIRS.exec(header)) {
    const [, name, quoted, plain] = pair
    const value = quoted?.replace(/\\(.)/g, "$1") ?? plain
    if (name?.toLowerCase() === "host" && value !== undefined && value !== "") return value
  }
  return undefined
}

const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/
const PRINTABLE = /^[\t -~]*$/
/** One `name=value` after the other, each with what ends it. Unquoted values may hold `:` and `[]`, which the RFC wants quoted. */
const PAIRS = /\s*([\w!#$%&'*+.^`|~-]+)=(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))\s*(?:[;,]|$)/gy
