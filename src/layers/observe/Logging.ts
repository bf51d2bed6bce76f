/**
 * Effect's log and the access log of one thread, in ztunnel's layouts (reference ops §5), through the thread's own
 * `LineWriter`. `Effect.logInfo("text", { key: value })` with the annotation `target` names where it comes from.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { enabled, type LogFilter, type LogLevel, parseLogFilter } from "../../domain/config/LogFilter.ts"
import type { AccessLine } from "../../domain/connection/AccessLine.ts"
import { type FieldValue, formatLine, type LogEvent, type LogFormat } from "../../domain/observe/LogLine.ts"
import { LineWriter } from "./LineWriter.ts"

export interface LogSettings {
  readonly filter: string
  readonly format: LogFormat
}

/** The access log: one call per line, no fiber needed. */
export class AccessLog extends Context.Service<
  AccessLog,
  { readonly enabled: (level: LogLevel) => boolean; readonly write: (line: AccessLine) => void }
>()("weft/layers/observe/AccessLog") {
  static readonly layer = ({ filter: text, format }: LogSettings) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const writer = yield* LineWriter
        const filter = filterOf(text)
        return AccessLog.of({
          enabled: (level) => enabled(filter, ACCESS, level),
          write: ({ fields, level, message }) => {
            if (!enabled(filter, ACCESS, level)) return
            writer.write(formatLine(format, { time: wallClock(), level, target: ACCESS, message, fields }))
          }
        })
      })
    )
}

/**
 * What authorization decided of each connection, policy by policy (reference state §5.5): at debug under ztunnel's target,
 * at info with `AUTHZ_POLICY_INFO_LOGGING`. Who writes asks first whether anyone reads.
 */
export class PolicyLog extends Context.Service<
  PolicyLog,
  { readonly enabled: boolean; readonly write: (message: string, fields: LogEvent["fields"]) => void }
>()("weft/layers/observe/PolicyLog") {
  static readonly layer = ({ filter, format, policyInfo }: LogSettings & { readonly policyInfo: boolean }) =>
    Layer.effect(
      this,
      Effect.map(LineWriter, (writer) => {
        const level = policyInfo ? "info" : "debug"
        return PolicyLog.of({
          enabled: enabled(filterOf(filter), STATE, level),
          write: (message, fields) =>
            writer.write(formatLine(format, { time: wallClock(), level, target: STATE, message, fields }))
        })
      })
    )
}

/** Replaces Effect's loggers with one that writes ztunnel's layout. */
export const layerLogging = ({ filter: text, format }: LogSettings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const writer = yield* LineWriter
      const filter = filterOf(text)
      const logger = Logger.make(({ cause, fiber, logLevel, message }) => {
        const { target = "weft", ...annotations } = fiber.getRef(References.CurrentLogAnnotations)
        const level = levelOf(logLevel)
        if (!enabled(filter, String(target), level)) return
        const [first, ...rest] = Array.isArray(message) ? message : [message]
        const fields = Object.entries({ ...annotations, ...Object.assign({}, ...rest) })
        if (cause.reasons.length > 0) fields.push(["error", Cause.pretty(cause)])
        writer.write(
          formatLine(format, {
            time: wallClock(),
            level,
            target: String(target),
            message: String(first),
            fields: fields.map(([key, value]) => [key, fieldOf(value)])
          })
        )
      })
      return Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "All"))
    })
  )

/** Log lines of `target` (a module's name, as ztunnel's are). */
export const logTarget = (target: string) => Effect.annotateLogs({ target })

const ACCESS = "access"
const STATE = "state"

const filterOf = (text: string): LogFilter => Result.getOrElse(parseLogFilter(text), () => DEFAULT_FILTER)

const DEFAULT_FILTER: LogFilter = { default: "info", targets: [] }

const fieldOf = (value: unknown): FieldValue =>
  typeof value === "number" || typeof value === "string" ? value : String(value)

const levelOf = (level: string): LogLevel => {
  switch (level) {
    case "Fatal":
    case "Error":
      return "error"
    case "Warn":
      return "warn"
    case "Debug":
      return "debug"
    case "Trace":
      return "trace"
    default:
      return "info"
  }
}

const wallClock = (): number => performance.timeOrigin + performance.now()
