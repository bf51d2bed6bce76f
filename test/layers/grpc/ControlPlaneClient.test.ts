import * as Fs from "node:fs"
import * as Path from "node:path"
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ControlPlane } from "../../../src/domain/config/ControlPlane.ts"
import { controlPlaneClient } from "../../../src/layers/grpc/ControlPlaneClient.ts"
import { makeTestCa } from "../../support/TestCa.ts"
import { tempDir } from "../../support/WeftProcess.ts"

const controlPlane = (given: Partial<ControlPlane>): ControlPlane => ({
  host: "127.0.0.1",
  port: 1,
  roots: { _tag: "System" },
  altHostname: undefined,
  token: { _tag: "Text", text: "a-token" },
  clusterId: "Kubernetes",
  headers: [],
  ...given
})

/** Sends a message, and answers with what comes back. */
const exchange = (given: Partial<ControlPlane>) =>
  Effect.gen(function* () {
    const client = yield* controlPlaneClient(controlPlane(given))
    const stream = yield* client.duplex("/test.Echo/Headers")
    stream.send(Buffer.from("hello"))
    return String(yield* stream.next)
  }).pipe(Effect.scoped)
const failure = (given: Partial<ControlPlane>) => Effect.flip(exchange(given))

/** Answers each message with the headers of its call. Its certificate is for `hosts`. */
const serverFor = Effect.fnUntraced(function* (hosts: ReadonlyArray<string>) {
  const ca = yield* Effect.promise(() => makeTestCa())
  const { certPem, keyPem } = yield* Effect.promise(() => ca.leaf({ uris: [], hosts }))
  const server = new Server()
  server.addService({ Headers: HEADERS }, { Headers: answerHeaders })
  yield* Effect.addFinalizer(() => Effect.sync(() => server.forceShutdown()))
  const pair = { cert_chain: Buffer.from(certPem), private_key: Buffer.from(keyPem) }
  const port = yield* Effect.callback<number>((resume) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      resume(error === null ? Effect.succeed(bound) : Effect.die(error))
    )
  )
  return { port, roots: { _tag: "Pem", text: ca.certPem } as const }
})

const asIs = (bytes: Buffer) => bytes
const HEADERS = {
  path: "/test.Echo/Headers",
  requestStream: true,
  responseStream: true,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs
}
const answerHeaders = (call: ServerDuplexStream<Buffer, Buffer>) => {
  call.on("error", () => {})
  call.on("data", () => call.write(Buffer.from(JSON.stringify(call.metadata.getMap()))))
}

describe("a client of the control plane", () => {
  it.live("talks to a server by its name, by its address, and by its alternative name", () =>
    Effect.gen(function* () {
      const named = yield* serverFor(["localhost"])
      assert.include(yield* exchange({ ...named, host: "localhost" }), "a-token")
      const addressed = yield* serverFor(["127.0.0.1"])
      assert.include(yield* exchange({ ...addressed, host: "127.0.0.1" }), "a-token")
      const other = yield* serverFor(["istiod.example"])
      for (const host of ["localhost", "127.0.0.1"]) {
        assert.include(yield* exchange({ ...other, host, altHostname: "istiod.example" }), "a-token")
      }
    })
  )

  it.live("refuses a server whose certificate is for another, or by another", () =>
    Effect.gen(function* () {
      const other = yield* serverFor(["istiod.example"])
      for (const host of ["localhost", "127.0.0.1"]) {
        assert.match(
          (yield* failure({ ...other, host })).message,
          /^(localhost|127\.0\.0\.1):\d+: UNAVAILABLE: Hostname\/IP does not match certificate's altnames: .* \(hint: /
        )
      }
      const { roots } = yield* serverFor(["localhost"])
      const { message } = yield* failure({ ...(yield* serverFor(["localhost"])), host: "localhost", roots })
      assert.match(
        message,
        /^localhost:\d+: UNAVAILABLE: (?!No connection).*\(hint: is the root certificate the control/
      )
    })
  )

  it.live("says who it is with each call, by the token of now", () =>
    Effect.gen(function* () {
      const server = yield* serverFor(["127.0.0.1"])
      const path = Path.join(yield* tempDir, "token")
      const token = { _tag: "File", path } as const
      const ask = (given: Partial<ControlPlane>) =>
        Effect.map(exchange({ ...server, ...given }), (text): unknown => JSON.parse(text))
      for (const text of ["first", " second\n"]) {
        Fs.writeFileSync(path, text)
        assert.deepInclude(yield* ask({ token, headers: [["x-more", "yes"]] }), {
          authorization: `Bearer ${text.trim()}`,
          clusterid: "Kubernetes",
          "x-more": "yes"
        })
      }
      assert.notProperty(yield* ask({ token: { _tag: "FileIfThere", path: `${path}-not` } }), "authorization")
      Fs.writeFileSync(path, "\n")
      const { message } = yield* failure({ ...server, token })
      assert.include(message, `token file exists, but was empty: ${path}`)
    })
  )

  it.live("names the file of the roots when it cannot be read", () =>
    Effect.gen(function* () {
      const error = yield* failure({ roots: { _tag: "File", path: "/nowhere/roots.pem" } })
      assert.include(error.message, "127.0.0.1:1: UNAVAILABLE: the root certificates cannot be read")
      assert.include(error.message, "/nowhere/roots.pem")
    })
  )

  it.live("says that nobody listens, and what that may mean", () =>
    Effect.gen(function* () {
      const error = yield* failure({})
      assert.include(error.message, "UNAVAILABLE: connect ECONNREFUSED 127.0.0.1:1")
      assert.include(error.message, "is this its address?")
    })
  )
})
