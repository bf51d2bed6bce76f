/** A gRPC client for a server of this machine that listens on a unix socket, without TLS: the kernel says who asks. */
import { credentials, Metadata } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import { makeGrpcClient } from "./GrpcClient.ts"

/** `path` is absolute. */
export const unixSocketClient = (path: string, headers: ReadonlyArray<readonly [name: string, value: string]>) =>
  makeGrpcClient({
    target: `unix:${path}`,
    server: path,
    credentials: credentials.createInsecure(),
    // the kernel tells when the other side is gone; and a server in Go that is not told otherwise (SPIRE's agent) ends a
    // connection on which pings come more often than every five minutes
    pings: false,
    metadata: Effect.sync(() => {
      const metadata = new Metadata()
      for (const [name, value] of headers) metadata.set(name, value)
      return metadata
    })
  })
