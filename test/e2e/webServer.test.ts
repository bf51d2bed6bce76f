/** A web server as Debian ships it behind weft, and the access log in JSON. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { isMissing, run, start } from "../support/commands.ts"
import { eventually } from "../support/eventually.ts"
import { CLIENT_IDENTITY, meshAddresses, SERVER_IDENTITY, SERVICE, startPair } from "../support/meshPair.ts"
import { closedPort } from "../support/tcpPeers.ts"
import { tempDir } from "../support/WeftProcess.ts"

describe("nginx behind weft", () => {
  it.live.skipIf(isMissing("nginx") || isMissing("curl"))(
    "answers curl with a megabyte that arrives whole; the access log in JSON has numbers for bytes (needs nginx, curl)",
    () =>
      Effect.gen(function* () {
        const addresses = meshAddresses()
        const { file, port } = yield* nginx(addresses.server)
        const pair = yield* startPair({ addresses, ports: [[80, port]], env: { LOG_FORMAT: "json" } })
        const socks5 = `socks5h://${pair.client.ports.socks5.host}:${pair.client.ports.socks5.port}`
        const target = Path.join(yield* tempDir, "got")
        const arguments_ = ["-sS", "-m", "10", "-D", "-", "-o", target, "-x", socks5, `http://${SERVICE}/file`]
        const { code, stderr, stdout } = yield* run("curl", arguments_)
        assert.strictEqual(code, 0, stderr)
        assert.match(stdout, /^HTTP\/1\.1 200 OK\r\nServer: nginx/)
        assert.strictEqual(sha256(Fs.readFileSync(target)), sha256(file))
        for (const [weft, direction, large, small] of [
          [pair.client, "outbound", "bytes_recv", "bytes_sent"],
          [pair.server, "inbound", "bytes_sent", "bytes_recv"]
        ] as const) {
          const line = yield* Effect.promise(() => weft.line((each) => each.includes('"scope":"access"')))
          const fields: Record<string, unknown> = JSON.parse(line)
          assert.deepInclude(fields, {
            level: "info",
            message: "connection complete",
            direction,
            "src.identity": CLIENT_IDENTITY,
            "dst.identity": SERVER_IDENTITY,
            "dst.service": SERVICE,
            "dst.hbone_addr": `${addresses.server}:${port}`
          })
          assert.isAbove(Number(fields[large]), file.length)
          assert.isAbove(Number(fields[small]), 50)
          assert.typeOf(fields["bytes_sent"], "number")
          assert.typeOf(fields["bytes_recv"], "number")
          assert.match(String(fields["duration"]), /^\d+ms$/)
        }
      })
  )
})

/** In the foreground, with everything it writes in a folder of its own. */
const nginx = Effect.fnUntraced(function* (host: string) {
  const dir = yield* tempDir
  const port = yield* closedPort(host)
  const file = Crypto.randomBytes(1024 * 1024)
  // its worker may be another user, which has to get at the file
  Fs.chmodSync(dir, 0o755)
  Fs.writeFileSync(Path.join(dir, "file"), file)
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (each) => `${each}_temp_path ${dir}/${each};`
  )
  const config = Path.join(dir, "nginx.conf")
  Fs.writeFileSync(
    config,
    `daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr; events {}
     http { access_log off; ${temporary.join(" ")} server { listen ${host}:${port}; root ${dir}; } }`
  )
  const running = yield* start("nginx", ["-p", dir, "-e", "stderr", "-c", config])
  yield* Effect.addFinalizer(() =>
    Effect.promise(() => {
      // TERM takes the worker along; the KILL of the scope would not
      process.kill(running.pid, "SIGTERM")
      return running.ended
    })
  )
  yield* Effect.promise(() => eventually(() => Fs.existsSync(`${dir}/pid`), `nginx to start: ${running.stderr()}`))
  return { file, port }
})

const sha256 = (bytes: Buffer): string => Crypto.createHash("sha256").update(bytes).digest("hex")
