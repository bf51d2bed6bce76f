/** The kinds of value that a text setting can have, as schemas from text. Each fails with a sentence that says what is accepted. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import { parseIp, type Ip } from "../Address.ts"
import type { WorkloadInfo } from "../mesh/Workload.ts"
import { parseDuration } from "./Duration.ts"
import { parseLogFilter } from "./LogFilter.ts"

/** ztunnel takes only `true` and `false`; the other spellings are what people write (reference ops §14.2, 19). */
export const parseBoolean = (text: string): boolean | undefined => BOOLEANS.get(text.toLowerCase())

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["yes", true],
  ["false", false],
  ["0", false],
  ["no", false]
])

export const BOOLEAN_EXPECTED = "must be true or false (1, 0, yes and no are understood too)"

const parsed = <To extends Schema.Constraint>(
  to: To,
  parse: (text: string) => Result.Result<To["Encoded"], { readonly message: string }>
) =>
  Schema.String.pipe(
    Schema.decodeTo(to, {
      decode: SchemaGetter.transformEffect((text: string, options) =>
        Effect.fromResult(
          Result.mapError(parse(text), ({ message }) => new SchemaIssue.InvalidValue({ message }, text, options))
        )
      ),
      // settings are only ever read
      encode: SchemaGetter.forbidden(() => "a setting is not written back")
    })
  )

const problem = (message: string) => Result.fail({ message })

export const Text = Schema.String

export const Flag = parsed(Schema.Boolean, (text) => {
  const value = parseBoolean(text)
  return value === undefined ? problem(BOOLEAN_EXPECTED) : Result.succeed(value)
})

export const Whole = (minimum: number, maximum: number) =>
  parsed(Schema.Number, (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return value >= minimum && value <= maximum
      ? Result.succeed(value)
      : problem(`must be a whole number from ${minimum} to ${maximum}`)
  })

/** 0 is "any free port". */
export const Port = Whole(0, 65_535)

/** Milliseconds, from the texts `minimum` to `maximum`. */
export const Millis = (minimum: string, maximum: string) => {
  const [low, high] = [minimum, maximum].map((text) => Result.getOrThrow(parseDuration(text)))
  return parsed(Schema.Number, (text) =>
    Result.flatMap(parseDuration(text), (millis) =>
      millis >= low! && millis <= high!
        ? Result.succeed(millis)
        : problem(`must be a duration from ${minimum} to ${maximum}`)
    )
  )
}

export const OneOf = <const A extends string>(values: ReadonlyArray<A>) =>
  parsed(Schema.Literals(values), (text) => {
    const value = values.find((candidate) => candidate === text.toLowerCase())
    return value === undefined ? problem(`must be ${values.join(" or ")}`) : Result.succeed(value)
  })

export const IpAddress = parsed(
  Schema.declare((u): u is Ip => typeof u === "string"),
  parseIp
)

export const Filter = parsed(Schema.String, (text) => Result.map(parseLogFilter(text), () => text))

/** `namespace/name/service account`; split at the first two slashes, as in ztunnel. */
export const Workload = parsed(
  Schema.declare((u): u is WorkloadInfo => typeof u === "object"),
  (text) => {
    const [namespace = "", name = "", ...rest] = text.split("/")
    const serviceAccount = rest.join("/")
    return namespace === "" || name === "" || serviceAccount === ""
      ? problem("must be namespace/name/service-account, such as default/curl-7f9c/curl")
      : Result.succeed({ namespace, name, serviceAccount })
  }
)
