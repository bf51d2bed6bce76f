import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ControlPlane } from "../../../src/domain/config/ControlPlane.ts"
import { controlPlaneClient } from "../../../src/layers/grpc/ControlPlaneClient.ts"

const controlPlane = (given: Partial<ControlPlane>): ControlPlane => ({
  host: "127.0.0.1",
  port: 1,
  roots: { _tag: "System" },
  altHostname: undefined,
  token: { _tag: "Text", text: "token" },
  clusterId: "Kubernetes",
  headers: [],
  ...given
})

const failure = (given: Partial<ControlPlane>) =>
  Effect.flip(
    Effect.scoped(
      Effect.flatMap(controlPlaneClient(controlPlane(given)), ({ duplex }) =>
        Effect.flatMap(duplex("/some.Service/Call"), ({ next }) => next)
      )
    )
  )

describe("a client of the control plane", () => {
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
      assert.include(error.message, "ECONNREFUSED 127.0.0.1:1")
      assert.include(error.message, "is this its address?")
    })
  )
})
