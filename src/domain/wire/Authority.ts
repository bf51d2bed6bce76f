/**
 * What an HBONE CONNECT asks for: the `:authority` of the request (RFC 9113 §8.5; reference datapath §3.4, §4.2). Stricter
 * than a URI authority: a port is required, and there is no user, zone, path or space. The two grammars do not overlap: a
 * hostname whose last label is a number is not one (RFC 1123 §2.1), so that no spelling of an address passes as a name.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from "../Address.ts"

/** Port 1 to 65535. The host is as given: case and a final dot are kept, for the mesh looks names up as they are. */
export type Authority =
  | { readonly _tag: "Address"; readonly address: SocketAddress }
  | { readonly _tag: "Hostname"; readonly host: string; readonly port: number }

export class AuthorityError extends Data.TaggedError("AuthorityError")<{ readonly given: string }> {
  override get message() {
    return `${JSON.stringify(this.given)} is not an authority: expected host:port, 10.0.0.1:80 or [::1]:80, with a port from 1 to 65535`
  }
}

/** `10.0.0.1:80`, `[::1]:80`, `[::ffff:10.0.0.1]:80` (which is 10.0.0.1:80), `web.prod.svc.cluster.local:80`. */
export const parseAuthority = (text: string): Result.Result<Authority, AuthorityError> => {
  // the bound comes first: nothing below may meet a header of 64 KiB
  if (text.length > MAX_AUTHORITY) return malformed(`${text.slice(0, MAX_AUTHORITY)}…`)
  const named = HOST_AND_PORT.exec(text)
  if (named !== null && isHostname(named[1]!)) {
    const port = Number(named[2])
    return isPort(port) ? Result.succeed({ _tag: "Hostname", host: named[1]!, port }) : malformed(text)
  }
  const parsed = parseSocketAddress(text)
  if (Result.isFailure(parsed) || !isPort(parsed.success.port)) return malformed(text)
  return Result.succeed({ _tag: "Address", address: parsed.success })
}

export const formatAuthority = (authority: Authority): string =>
  authority._tag === "Address" ? formatSocketAddress(authority.address) : `${authority.host}:${authority.port}`

/** Letters, digits, `-`, `_` and `*` (a wildcard service has that name in the mesh), in labels of at most 63. */
export const isHostname = (text: string): boolean => text.length <= MAX_HOSTNAME && HOSTNAME.test(text)

const isPort = (port: number): boolean => port >= 1 && port <= 65535

const malformed = (given: string) => Result.fail(new AuthorityError({ given }))

const HOST_AND_PORT = /^([^:[\]]+):(\d{1,5})$/
const HOSTNAME = /^(?:[\w*-]{1,63}\.)*(?!\d+\.?$)[\w*-]{1,63}\.?$/
/** 253 and a final dot. */
const MAX_HOSTNAME = 254
const MAX_AUTHORITY = MAX_HOSTNAME + ":65535".length
