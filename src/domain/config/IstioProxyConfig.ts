/**
 * Istio's ProxyConfig, from the mesh config's `defaultConfig` and from the `PROXY_CONFIG` variable (reference ops §2.1).
 * Only the fields that ztunnel reads are looked at. Unlike ztunnel, `proxyMetadata` may be left out, and its values may
 * be numbers and booleans.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { ConfigIssue } from "./ConfigErrors.ts"
import type { Variables } from "./Environment.ts"

const U16 = Schema.Number.check(
  Schema.makeFilter((value) => Number.isInteger(value) && value >= 0 && value <= 65_535, {
    message: "must be a whole number from 0 to 65535"
  })
)

const IstioProxyConfig = Schema.Struct({
  discoveryAddress: Schema.optionalKey(Schema.String),
  proxyAdminPort: Schema.optionalKey(U16),
  statsPort: Schema.optionalKey(U16),
  concurrency: Schema.optionalKey(U16),
  proxyMetadata: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number, Schema.Boolean]))
  )
})
export type IstioProxyConfig = typeof IstioProxyConfig.Type

interface Reading {
  readonly config: IstioProxyConfig
  readonly issues: ReadonlyArray<ConfigIssue>
}

/** The mesh config, of which only `defaultConfig` is read. */
export const readMeshConfig = (document: unknown): Reading =>
  isObject(document ?? {})
    ? readProxyConfig(isObject(document) ? document["defaultConfig"] : undefined, "mesh config defaultConfig")
    : { config: {}, issues: [{ name: "mesh config", given: undefined, problem: "must be a YAML object" }] }

/** `source` names the document in the issues. A document that is not there, or is empty, says nothing. */
export const readProxyConfig = (document: unknown, source: string): Reading => {
  const decoded = decode(withoutNulls(document ?? {}))
  if (Result.isSuccess(decoded)) return { config: decoded.success, issues: [] }
  const issues = format(decoded.failure.issue).issues.map(({ message, path = [] }) => ({
    name: [source, ...path.map(String)].join("."),
    given: undefined,
    problem: message
  }))
  return { config: {}, issues }
}

/** Later wins: the mesh config, `PROXY_CONFIG`; metadata key by key. */
export const mergeProxyConfigs = (mesh: IstioProxyConfig, own: IstioProxyConfig): IstioProxyConfig => ({
  ...mesh,
  ...own,
  proxyMetadata: { ...mesh.proxyMetadata, ...own.proxyMetadata }
})

/** Node metadata: the proxy config's, then `ISTIO_META_*` of the environment; the prefix is dropped. */
export const nodeMetadata = (config: IstioProxyConfig, variables: Variables): Readonly<Record<string, string>> => {
  const metadata: Record<string, string> = {}
  for (const [key, value] of Object.entries(config.proxyMetadata ?? {})) {
    metadata[key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key] = String(value)
  }
  for (const [name, value] of Object.entries(variables)) {
    if (name.startsWith(PREFIX) && value !== undefined) metadata[name.slice(PREFIX.length)] = value.trim()
  }
  return metadata
}

const PREFIX = "ISTIO_META_"
const decode = Schema.decodeUnknownResult(IstioProxyConfig, { errors: "all" })
const format = SchemaIssue.makeFormatterStandardSchemaV1()

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A YAML key without a value is null: not set. */
const withoutNulls = (document: unknown): unknown =>
  isObject(document) ? Object.fromEntries(Object.entries(document).filter(([, value]) => value !== null)) : document
