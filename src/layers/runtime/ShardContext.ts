/** What a shard is told when it starts, as plain data. */
import * as Context from "effect/Context"
import type { ProxySettings } from "../../domain/config/ProxySettings.ts"

export interface ShardStart {
  readonly shard: number
  readonly shards: number
  readonly settings: ProxySettings
  readonly memory: SharedArrayBuffer
  /** Without the kernel's help (layers/os/Native). */
  readonly portable: boolean
}

export class Settings extends Context.Service<Settings, ProxySettings>()("weft/layers/runtime/Settings") {}
