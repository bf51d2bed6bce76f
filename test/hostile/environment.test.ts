/** A start that cannot succeed: exit code 1, soon, and an error that names what is wrong and where. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { meshFile, workload } from "../support/meshes.ts"
import { loopbackAddress } from "../support/ownAddress.ts"
import { listenEcho } from "../support/rawTcp.ts"
import { makeTestCa } from "../support/TestCa.ts"
import { spawnWeft, tempDir } from "../support/WeftProcess.ts"

const MESH = meshFile({ workloads: [workload("a", ["127.0.0.9"])], services: [] })
const PORTS = ["OUTBOUND", "INBOUND", "INBOUND_PLAINTEXT", "SOCKS5", "READINESS"] as const
const RIGHT: Readonly<Record<string, string>> = {
  PROXY_MODE: "dedicated",
  PROXY_WORKLOAD_INFO: "shop/a/default",
  LOCAL_XDS: MESH,
  UNSTABLE_ENABLE_SOCKS5: "true",
  ZTUNNEL_WORKER_THREADS: "1",
  ...Object.fromEntries(PORTS.map((port) => [`WEFT_${port}_PORT`, "0"]))
}

/** Everything that weft says before it gives up. */
const failing = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>) {
  const weft = yield* spawnWeft([], ["proxy"], { ...RIGHT, ...env })
  const how = yield* Effect.promise(() => weft.exited)
  const said = weft.stderr() + weft.lines.join("\n")
  assert.strictEqual(how, 1, said)
  assert.notMatch(said, /^ {4}at /m, "a stack trace is no message")
  return said
})

describe("weft proxy", () => {
  it.live("names every wrong variable at once, with what was given", () =>
    Effect.gen(function* () {
      const wrong = {
        PROXY_MODE: "sideways",
        PROXY_WORKLOAD_INFO: "no-slashes",
        WEFT_OUTBOUND_PORT: "70000",
        HTTP2_FRAME_SIZE: "1",
        ZTUNNEL_WORKER_THREADS: "many",
        CONNECTION_TERMINATION_DEADLINE: "soon",
        RUST_LOG: "loud",
        WEFT_BIND_ADDRESS: "localhost",
        IPV6_ENABLED: "maybe",
        CA_ADDRESS: "istiod:15012"
      }
      const said = yield* failing(wrong)
      for (const [name, given] of Object.entries(wrong)) assert.include(said, `${name}=${given}: `)
    })
  )

  it.live("says where a mesh file is malformed, by file, line and field", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      const path = Path.join(dir, "mesh.yaml")
      Fs.writeFileSync(
        path,
        "workloads:\n- uid: a\n  name: a\n  workloadIps: [not-an-ip]\n  protocol: SMOKE\n  services: {}\n"
      )
      const said = yield* failing({ LOCAL_XDS: "", LOCAL_XDS_PATH: path })
      assert.include(said, `${path}:4:`)
      assert.include(said, "workloadIps")
      assert.include(said, `${path}:5:`)
      assert.include(said, "protocol")
    })
  )

  it.live.each([
    ["is not YAML", "workloads: [\n"],
    ["has policies, which would be ignored", "workloads: []\npolicies:\n- {name: deny}\n"]
  ] as const)("refuses a mesh file that %s", ([, text]) =>
    Effect.gen(function* () {
      const path = Path.join(yield* tempDir, "mesh.yaml")
      Fs.writeFileSync(path, text)
      assert.include(yield* failing({ LOCAL_XDS: "", LOCAL_XDS_PATH: path }), `${path}:`)
    })
  )

  it.live("says that a mesh file is not there", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* tempDir, "missing.yaml")
      assert.include(yield* failing({ LOCAL_XDS: "", LOCAL_XDS_PATH: path }), path)
    })
  )

  it.live.each(["INBOUND", "READINESS"])("names a port that is taken and the variable that moves it: %s", (port) =>
    Effect.gen(function* () {
      const taken = yield* listenEcho(loopbackAddress())
      const variable = `WEFT_${port}_PORT`
      const said = yield* failing({ WEFT_BIND_ADDRESS: taken.host, [variable]: String(taken.port) })
      assert.include(said, `${taken.host}:${taken.port}`)
      assert.include(said, variable)
    })
  )

  it.live("refuses a CA whose key is another's, and one that is not there, by their files", () =>
    Effect.gen(function* () {
      const dir = yield* tempDir
      const file = (name: string, text: string) => {
        Fs.writeFileSync(Path.join(dir, name), text)
        return Path.join(dir, name)
      }
      const [one, other] = yield* Effect.promise(() => Promise.all([makeTestCa(), makeTestCa()]))
      const cases = [
        { WEFT_CA_CERT: file("one.crt", one.certPem), WEFT_CA_KEY: file("other.key", other.keyPem) },
        { WEFT_CA_CERT: Path.join(dir, "missing.crt"), WEFT_CA_KEY: file("one.key", one.keyPem) }
      ]
      for (const env of cases) {
        const said = yield* failing(env)
        assert.isTrue(said.includes(env.WEFT_CA_CERT) || said.includes(env.WEFT_CA_KEY), said)
      }
    })
  )
})
