import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { type FieldValue, formatLine, type LogEvent } from "../../../src/domain/observe/LogLine.ts"
import { anyText, integer, oneOf, THOROUGH } from "../../support/hostileInput.ts"

/** 2026-01-02T03:04:05.000006Z, as exactly as a double has it. */
const TIME = Date.UTC(2026, 0, 2, 3, 4, 5) + 26 / 4096

const event = (rest: Partial<LogEvent> = {}): LogEvent => ({
  time: TIME,
  level: "info",
  target: "app",
  message: "it runs",
  fields: [],
  ...rest
})

describe("the plain layout", () => {
  it("is time, level, target, message and fields, with tabs between", () => {
    const fields = [
      ["src.addr", { bare: "10.0.0.1:46238" }],
      ["name", "shell"],
      ["bytes", 67]
    ] as const
    assert.strictEqual(
      formatLine("plain", event({ fields })),
      '2026-01-02T03:04:05.000006Z\tinfo\tapp\tit runs\tsrc.addr=10.0.0.1:46238 name="shell" bytes=67\n'
    )
  })

  it("ends the message with a tab when there are no fields", () => {
    assert.strictEqual(formatLine("plain", event()), "2026-01-02T03:04:05.000006Z\tinfo\tapp\tit runs\t\n")
  })

  it.each([
    [0, "1970-01-01T00:00:00.000000Z"],
    [0.999, "1970-01-01T00:00:00.000999Z"],
    [999.9999, "1970-01-01T00:00:00.999999Z"],
    [Date.UTC(2024, 1, 29, 23, 59, 59, 999) + 0.5, "2024-02-29T23:59:59.999500Z"]
  ])("tells %d ms as %s", (time, expected) => {
    assert.strictEqual(formatLine("plain", event({ time })).split("\t", 1)[0], expected)
  })

  it("escapes what would end a field or the line", () => {
    const line = formatLine(
      "plain",
      event({
        message: "a\tb\nc",
        fields: [
          ["k", 'say "x"\r\n'],
          ["a", { bare: "b\tc\u0000" }]
        ]
      })
    )
    assert.strictEqual(
      line,
      `2026-01-02T03:04:05.000006Z\tinfo\tapp\ta\\tb\\nc\tk="say \\"x\\"\\r\\n" a=b\\tc\\u0000\n`
    )
  })
})

describe("the JSON layout", () => {
  it("is one object: level, time, scope, message, then the fields in order; numbers stay numbers", () => {
    const fields = [
      ["src.addr", { bare: "10.0.0.1:46238" }],
      ["name", "shell"],
      ["bytes", 67]
    ] as const
    assert.strictEqual(
      formatLine("json", event({ fields })),
      '{"level":"info","time":"2026-01-02T03:04:05.000006Z","scope":"app","message":"it runs",' +
        '"src.addr":"10.0.0.1:46238","name":"shell","bytes":67}\n'
    )
  })
})

const value: Arbitrary.Arbitrary<FieldValue> = Arbitrary.flatMap(oneOf(["text", "bare", "number"]), (kind) =>
  kind === "number"
    ? integer(-5, 1e9)
    : Arbitrary.map(anyText, (text): FieldValue => (kind === "bare" ? { bare: text } : text))
)
const field = Arbitrary.map(Arbitrary.all([integer(0, 9), value]), ([key, value]) => [`k${key}`, value] as const)
const hostileEvent = Arbitrary.map(
  Arbitrary.all([anyText, Arbitrary.array(field, { maxLength: 4 })]),
  ([message, fields]) => event({ message, fields })
)

describe("whatever a peer puts into it", () => {
  it.prop(
    "a plain line stays one line of five columns without control characters",
    [hostileEvent],
    ([event]) => {
      const line = formatLine("plain", event)
      assert.isTrue(line.endsWith("\n"))
      const columns = line.slice(0, -1).split("\t")
      assert.lengthOf(columns, 5)
      assert.notMatch(columns.join(""), /\p{Cc}/u)
    },
    THOROUGH
  )

  it.prop(
    "a JSON line stays one line without control characters, and says the same",
    [hostileEvent],
    ([event]) => {
      const line = formatLine("json", event)
      assert.notMatch(line.slice(0, -1), /\p{Cc}/u)
      const read: unknown = JSON.parse(line)
      assert.deepInclude(read, {
        level: "info",
        message: event.message,
        ...Object.fromEntries(event.fields.map(([key, value]) => [key, typeof value === "object" ? value.bare : value]))
      })
    },
    THOROUGH
  )
})

describe("a line that is too long", () => {
  it.prop(
    "is cut where it is long, and stays a line that a pipe takes whole",
    [
      Arbitrary.all([
        integer(0, 20_000),
        integer(0, 20_000),
        oneOf(["plain", "json"] as const),
        oneOf(["x", "ä", "\u0001", "😀"])
      ])
    ],
    ([[message, value, format, character]]) => {
      const line = formatLine(format, {
        time: 0,
        level: "warn",
        target: "access",
        message: character.repeat(message),
        fields: Array.from({ length: 16 }, (_, index) => [`field.${index}`, character.repeat(index === 3 ? value : 20)])
      })
      assert.isAtMost(Buffer.byteLength(line), 4096)
      assert.strictEqual(line.indexOf("\n"), line.length - 1)
      if (format === "json") assert.isObject(JSON.parse(line))
    }
  )
})
