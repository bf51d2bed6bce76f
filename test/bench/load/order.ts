/** What the bench tells its load process, and what it answers. Times in milliseconds unless the name says other. */

/** Where a connection enters, and what it asks for there: with `socks`, `target` is asked for by SOCKS5. */
export interface Entry {
  readonly host: string
  readonly port: number
  readonly socks: { readonly host: string; readonly port: number } | undefined
}

export type Order =
  /** One connection on which the server sends as fast as it can. */
  | { readonly _tag: "Stream"; readonly entry: Entry; readonly warmUpMs: number; readonly measureMs: number }
  /** `connections` that each send 64 bytes and wait for 64 bytes, again and again. */
  | {
      readonly _tag: "Requests"
      readonly entry: Entry
      readonly connections: number
      readonly warmUpMs: number
      readonly measureMs: number
    }
  /** `concurrency` loops of connect, one byte there and back, close. */
  | {
      readonly _tag: "Connect"
      readonly entry: Entry
      readonly concurrency: number
      readonly warmUpMs: number
      readonly measureMs: number
    }
  /** Opens `count` connections, one byte there and back on each, and holds them until `Release`. */
  | { readonly _tag: "Hold"; readonly entry: Entry; readonly count: number }
  | { readonly _tag: "Release" }

export type Answer =
  /** The warm-up is over, the measured time starts now. */
  | { readonly _tag: "Measuring" }
  | { readonly _tag: "Streamed"; readonly bytes: number; readonly elapsedMs: number }
  | {
      readonly _tag: "Answered"
      readonly requests: number
      readonly elapsedMs: number
      readonly p50Us: number
      readonly p99Us: number
      readonly failed: number
    }
  | { readonly _tag: "Connected"; readonly connections: number; readonly elapsedMs: number; readonly failed: number }
  | { readonly _tag: "Held" }
  | { readonly _tag: "Released" }
  | { readonly _tag: "Failed"; readonly detail: string }
