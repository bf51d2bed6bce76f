/** `weft demo`, what `npm start` runs: the command it prints works as printed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parseAccessLine } from "../support/accessLines.ts"
import { isMissing, run } from "../support/commands.ts"
import { spawnWeft } from "../support/WeftProcess.ts"

describe("weft demo", () => {
  it.live.skipIf(isMissing("curl"))(
    "prints a curl line that answers 200 as printed, shows both ends of the tunnel, and ends on Ctrl-C (needs curl)",
    () =>
      Effect.gen(function* () {
        const demo = yield* spawnWeft([], ["demo"], ANY_PORT)
        const printed = yield* Effect.promise(() => demo.line((line) => line.includes("curl -x")))
        const { code, stderr, stdout } = yield* run("sh", ["-c", `${printed.trim()} -sS -m 10 -D -`])
        assert.strictEqual(code, 0, stderr)
        const [head = "", body = ""] = stdout.split("\r\n\r\n")
        assert.match(head, /^HTTP\/1\.1 200 OK/)
        assert.match(head, /^x-served-by: books\/echo$/im)
        const answer: unknown = JSON.parse(body)
        assert.deepInclude(answer, {
          service: "echo.books.svc.cluster.local",
          request: "GET /hello",
          // no certificate has come this far: the proxy says it
          "client identity": "spiffe://cluster.local/ns/shop/sa/cart",
          from: "127.0.0.2"
        })

        for (const direction of ["outbound", "inbound"]) {
          const line = yield* Effect.promise(() =>
            demo.line((each) => parseAccessLine(each)?.fields["direction"] === direction)
          )
          const { fields, level } = parseAccessLine(line)!
          assert.strictEqual(level, "info")
          assert.deepInclude(fields, {
            "src.identity": "spiffe://cluster.local/ns/shop/sa/cart",
            "dst.identity": "spiffe://cluster.local/ns/books/sa/echo"
          })
        }
        const readiness = /http:\S+/.exec(demo.lines.find((line) => line.includes("readiness")) ?? "")?.[0] ?? ""
        assert.strictEqual(
          (yield* run("curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", readiness])).stdout,
          "200"
        )

        demo.signal("SIGINT")
        assert.strictEqual(yield* Effect.promise(() => demo.exited), 0)
        assert.strictEqual(demo.stderr(), "")
      })
  )

  it.live("says which port is taken, and which variable moves it", () =>
    Effect.gen(function* () {
      const first = yield* spawnWeft([], ["demo"], ANY_PORT)
      const printed = yield* Effect.promise(() => first.line((line) => line.includes("curl -x")))
      const port = /:(\d+) /.exec(printed)?.[1] ?? ""
      const second = yield* spawnWeft([], ["demo"], { ...ANY_PORT, WEFT_SOCKS5_PORT: port })
      assert.strictEqual(yield* Effect.promise(() => second.exited), 1)
      assert.match(second.stderr(), new RegExp(`socks5 listener.*127\\.0\\.0\\.2:${port}.*taken.*WEFT_SOCKS5_PORT`))
    })
  )
})

const ANY_PORT = {
  WEFT_DEMO_ECHO_PORT: "0",
  WEFT_OUTBOUND_PORT: "0",
  WEFT_INBOUND_PORT: "0",
  WEFT_SOCKS5_PORT: "0",
  WEFT_READINESS_PORT: "0"
}
