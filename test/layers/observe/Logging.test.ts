import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LineWriter } from "../../../src/layers/observe/LineWriter.ts"
import { AccessLog, layerLogging, type LogSettings, logTarget, PolicyLog } from "../../../src/layers/observe/Logging.ts"

/** A writer that keeps its lines. */
const kept = () => {
  const lines: Array<string> = []
  return { lines, layer: Layer.succeed(LineWriter, { write: (line) => void lines.push(line), flush: () => {} }) }
}

/** What `effect` logs under these settings. */
const logged = Effect.fnUntraced(function* (settings: LogSettings, effect: Effect.Effect<void>) {
  const { layer, lines } = kept()
  yield* Effect.provide(effect, Layer.provide(layerLogging(settings), layer))
  return lines
})
const plain = { filter: "info", format: "plain" } as const
const columns = (line: string | undefined) => line?.slice(0, -1).split("\t").slice(1)

describe("what the program logs", () => {
  it.effect("has ztunnel's columns: level, target, message, fields", () =>
    Effect.gen(function* () {
      const [first, second] = yield* logged(
        plain,
        Effect.andThen(
          Effect.logInfo("listener established", { address: "127.0.0.1:15001", shards: 2 }).pipe(logTarget("app")),
          Effect.logError("it broke")
        )
      )
      assert.deepStrictEqual(columns(first), [
        "info",
        "app",
        "listener established",
        'address="127.0.0.1:15001" shards=2'
      ])
      assert.match(first ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\t/)
      assert.deepStrictEqual(columns(second), ["error", "weft", "it broke", ""])
    })
  )

  it.effect("is JSON when asked for, the cause of an error included", () =>
    Effect.gen(function* () {
      const failing = Effect.catchCause(Effect.die(new Error("boom")), (cause) =>
        Effect.logError("a fiber died", cause)
      )
      const [line] = yield* logged({ filter: "info", format: "json" }, failing)
      const read: unknown = JSON.parse(line ?? "")
      assert.deepInclude(read, { level: "error", scope: "weft", message: "a fiber died" })
      assert.include(Reflect.get(Object(read), "error"), "boom")
    })
  )

  it.effect("obeys the filter, by level and by target", () =>
    Effect.gen(function* () {
      const all = Effect.gen(function* () {
        for (const target of ["app", "proxy::outbound"]) {
          yield* Effect.logTrace(`${target} trace`).pipe(logTarget(target))
          yield* Effect.logDebug(`${target} debug`).pipe(logTarget(target))
          yield* Effect.logInfo(`${target} info`).pipe(logTarget(target))
          yield* Effect.logWarning(`${target} warn`).pipe(logTarget(target))
        }
      })
      const lines = yield* logged({ filter: "warn,proxy=debug", format: "plain" }, all)
      assert.deepStrictEqual(
        lines.map((line) => columns(line)?.[2]),
        ["app warn", "proxy::outbound debug", "proxy::outbound info", "proxy::outbound warn"]
      )
      assert.deepStrictEqual(yield* logged({ filter: "off", format: "plain" }, Effect.logFatal("x")), [])
    })
  )

  it.effect("stays one line, whatever it is given", () =>
    Effect.gen(function* () {
      const lines = yield* logged(
        plain,
        Effect.logInfo("a\nb", { key: "c\nd", other: Symbol("e"), nothing: undefined })
      )
      assert.lengthOf(lines, 1)
      assert.deepStrictEqual(columns(lines[0]), [
        "info",
        "weft",
        "a\\nb",
        'key="c\\nd" other="Symbol(e)" nothing="undefined"'
      ])
    })
  )
})

describe("the access log", () => {
  const written = Effect.fnUntraced(function* (filter: string, level: "debug" | "info" | "error") {
    const { layer, lines } = kept()
    const context = yield* Layer.build(Layer.provide(AccessLog.layer({ filter, format: "plain" }), layer))
    const access = Context.get(context, AccessLog)
    access.write({ level, message: "connection complete", fields: [["bytes_sent", 1]] })
    assert.strictEqual(access.enabled(level), lines.length === 1)
    return columns(lines[0])
  })

  it.effect("writes under the target access", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* written("info", "info"), ["info", "access", "connection complete", "bytes_sent=1"])
    })
  )

  it.effect.each([
    ["info", "debug", false],
    ["access=debug", "debug", true],
    ["debug,access=off", "error", false],
    ["error", "info", false],
    ["error", "error", true]
  ] as const)("under %s writes a line at %s: %s", ([filter, level, expected]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* written(filter, level)) !== undefined, expected)
    })
  )
})

describe("what policies decided", () => {
  it.effect.each([
    ["info", false, undefined],
    ["info", true, "info"],
    ["warn", true, undefined],
    ["state=debug", false, "debug"],
    ["debug,state=info", false, undefined]
  ] as const)("under %s, at info: %s, is written at %s", ([filter, policyInfo, level]) =>
    Effect.gen(function* () {
      const { layer, lines } = kept()
      const context = yield* Layer.build(Layer.provide(PolicyLog.layer({ filter, format: "plain", policyInfo }), layer))
      const log = Context.get(context, PolicyLog)
      assert.strictEqual(log.enabled, level !== undefined)
      if (level === undefined) return
      log.write("deny policy match", [["policy", "shop/nobody"]])
      assert.deepStrictEqual(columns(lines[0]), [level, "state", "deny policy match", 'policy="shop/nobody"'])
    })
  )
})
