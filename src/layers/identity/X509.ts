/**
 * The door to `@peculiar/x509`, which writes certificates. It costs 165 ms and 23 MB to import, so it is loaded only by a
 * process that signs, when it starts to; shards never load it.
 */
import type * as Library from "@peculiar/x509"

export type X509 = typeof Library

/**
 * The library's dependency container (tsyringe) refuses to load without the reflect-metadata polyfill, and then asks it
 * only for constructor parameters that this library does not have. So it gets a twin that knows none, for the duration
 * of the import.
 */
export const loadX509 = async (): Promise<X509> => {
  if ("getMetadata" in Reflect) return import("@peculiar/x509")
  Object.assign(Reflect, { getMetadata: () => undefined, getOwnMetadata: () => undefined })
  try {
    return await import("@peculiar/x509")
  } finally {
    Reflect.deleteProperty(Reflect, "getMetadata")
    Reflect.deleteProperty(Reflect, "getOwnMetadata")
  }
}
