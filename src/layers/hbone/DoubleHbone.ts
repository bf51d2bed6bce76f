/**
 * A tunnel inside a stream of another (reference datapath §2.8): to a workload of another network, through that network's
 * gateway. The inner tunnel carries one stream, belongs to one connection and is never pooled, so that each connection may
 * reach another of the workloads behind the gateway. The gateway only sees what TLS shows.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type { Duplex } from "node:stream"
import { verifyServer } from "../../domain/cert/SubjectAltName.ts"
import { type ProxyError, proxyError, Reason } from "../../domain/connection/ProxyError.ts"
import type { Spiffe } from "../../domain/Identity.ts"
import { type Conduit, type ConduitEvents, ConduitState, type Gone } from "../os/Conduit.ts"
import { type Connected, type ConnectRequest, openTunnel, type OpenTunnel, type TunnelOptions } from "./HboneClient.ts"

export interface FarEnd extends Omit<TunnelOptions, "transport" | "lost"> {
  /** Those that `tls` accepts. */
  readonly identities: ReadonlyArray<Spiffe>
}

export interface FarConnected {
  readonly conduit: Conduit
  readonly baggage: ReadonlyArray<string>
  /** Which of the accepted identities the far end has proved. */
  readonly identity: Spiffe | undefined
}

/** `outer` and what is made here belong to one scope, and `outer` is used by nobody else from now on. */
export const connectFar = Effect.fnUntraced(function* (
  outer: Connected,
  farEnd: FarEnd,
  request: ConnectRequest
): Effect.fn.Return<FarConnected, ProxyError, Scope.Scope> {
  let lost: string | undefined
  outer.conduit.watch({
    eof: () => {
      lost ??= "the gateway ended it"
    },
    gone: (how) => {
      lost ??= LOST[how._tag] ?? (how._tag === "Failed" ? how.detail : undefined)
    }
  })
  const transport = outer.duplex()
  const tunnel = yield* openTunnel({ ...farEnd, transport: Effect.succeed(transport), lost: () => lost })
  const { baggage, conduit } = yield* Effect.catchTag(tunnel.connect(request), "TunnelGone", ({ detail }) =>
    Effect.fail(proxyError(Reason.Http2Failed({ address: farEnd.peer, detail: lost ?? detail })))
  )
  return {
    conduit: new FarConduit(conduit, tunnel, transport, () => lost),
    baggage,
    identity: Result.getOrUndefined(verifyServer(tunnel.peerNames, farEnd.identities))
  }
})

/**
 * The inner stream. Ended in order, it is gone only when the gateway has taken all of it and both layers have ended: what
 * the inner tunnel has sent may still wait in the outer stream, and would be lost with it.
 */
class FarConduit implements Conduit {
  readonly #inner: Conduit
  readonly #tunnel: OpenTunnel
  readonly #outer: Duplex
  readonly #lost: () => string | undefined
  readonly #state = new ConduitState()
  #settling = false

  constructor(inner: Conduit, tunnel: OpenTunnel, outer: Duplex, lost: () => string | undefined) {
    this.#inner = inner
    this.#tunnel = tunnel
    this.#outer = outer
    this.#lost = lost
    inner.watch({
      eof: () => this.#state.reachEof(),
      gone: (how) => {
        if (how._tag === "Closed") this.#settle()
        else this.#state.go(how)
      }
    })
  }

  #settle(): void {
    this.#settling = true
    let timer: NodeJS.Timeout | undefined
    const settled = (how: Gone) => {
      clearTimeout(timer)
      this.#state.go(how)
    }
    // all of it has been sent: whether the gateway then ends the stream as well must not keep us for ever
    const sent = () => {
      timer = setTimeout(() => settled({ _tag: "Closed" }), LINGER_MS)
    }
    if (this.#outer.writableFinished) sent()
    else this.#outer.once("finish", sent)
    this.#tunnel.watch({
      onIdle: ignore,
      onGone: () =>
        settled(
          this.#outer.writableFinished
            ? { _tag: "Closed" }
            : { _tag: "Failed", detail: `the tunnel closed: ${this.#lost() ?? "connection lost"}` }
        )
    })
    this.#tunnel.finish()
  }

  watch(events: ConduitEvents): void {
    this.#state.watch(events)
  }

  pump(to: Conduit, tally: (bytes: number) => void): void {
    this.#inner.pump(to, tally)
  }

  write(chunk: Buffer, taken: () => void): boolean {
    return this.#inner.write(chunk, taken)
  }

  gather(): void {
    this.#inner.gather()
  }

  congested(): boolean {
    return this.#inner.congested()
  }

  end(): void {
    this.#inner.end()
  }

  /** The layers below are ended by their scope. */
  reset(): void {
    if (this.#settling) this.#state.go({ _tag: "Reset" })
    else this.#inner.reset()
  }

  finish(): void {
    this.#inner.finish()
  }

  destroy(): void {
    if (this.#settling) this.#state.go({ _tag: "Closed" })
    else this.#inner.destroy()
  }
}

/** What becomes of the inner tunnel when the stream that carries it ends before it does. */
const LOST: Partial<Record<Gone["_tag"], string>> = {
  Closed: "the gateway ended it",
  Reset: "the gateway reset it"
}
/** How long the gateway may take to end the outer stream once it has been given everything. */
const LINGER_MS = 10_000
const ignore = () => {}
