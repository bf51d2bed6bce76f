/** What went wrong in a handshake, for people: OpenSSL's reason without its error numbers and source files. */
export const tlsDetail = (error: Error): string => {
  const reason: unknown = Reflect.get(error, "reason")
  return typeof reason === "string" && reason !== "" ? reason : error.message.trim()
}
