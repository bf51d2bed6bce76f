/** What went wrong in a handshake, for people: without OpenSSL's error numbers and source files, with what it most often means. */
export const tlsDetail = (error: NodeJS.ErrnoException): string => {
  const hint = error.code === undefined ? undefined : HINTS.get(error.code)
  if (hint !== undefined) return `${hint} (${error.code})`
  const reason: unknown = Reflect.get(error, "reason")
  return typeof reason === "string" && reason !== "" ? reason : error.message.trim()
}

const OTHER_ROOT = "the peer's certificate is of a root that we do not trust: both sides need the same CA"

const HINTS = new Map([
  ["SELF_SIGNED_CERT_IN_CHAIN", OTHER_ROOT],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", OTHER_ROOT],
  ["UNABLE_TO_GET_ISSUER_CERT", OTHER_ROOT],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", OTHER_ROOT],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", OTHER_ROOT],
  ["CERT_SIGNATURE_FAILURE", OTHER_ROOT],
  ["CERT_HAS_EXPIRED", "the peer's certificate has expired"],
  ["CERT_NOT_YET_VALID", "the peer's certificate is not valid yet: look at the clocks"],
  ["INVALID_PURPOSE", "the peer's certificate is not for this side of a connection"],
  ["ECONNRESET", "the peer ended the handshake: it may not trust our certificate, or not speak TLS"]
])
