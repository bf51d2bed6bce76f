/**
 * `GET /healthz/ready`, as ztunnel answers it (reference ops §4.1). A shard serves it, to prove that the path that carries
 * traffic is alive; what is pending it reads from shared memory. `?verbose` adds every start-up task. Plain `node:http`:
 * one route is not worth what a framework costs each shard at its start (docs/decisions/0004).
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import type * as Net from "node:net"
import { type Layout, READINESS_TASKS } from "../../domain/shard/MetricLayout.ts"

export class ReadinessServer extends Context.Service<
  ReadinessServer,
  { /** Takes an accepted socket for good. */ readonly accept: (socket: Net.Socket) => void }
>()("weft/layers/serve/ReadinessServer") {
  static readonly layer = ({ readiness }: Pick<Layout, "readiness">) =>
    Layer.effect(
      this,
      Effect.gen(function* () {
        const server = Http.createServer((request, response) => {
          const { body, status } = answer(request.method ?? "", request.url ?? "", Array.from(readiness))
          const headers = { connection: "close", "content-length": Buffer.byteLength(body) }
          response.writeHead(status, body === "" ? headers : { ...headers, "content-type": "text/plain" }).end(body)
        })
        const sockets = new Set<Net.Socket>()
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const socket of sockets) socket.destroy()
          })
        )
        return ReadinessServer.of({
          accept: (socket) => {
            sockets.add(socket)
            // the server's own deadlines begin when it listens, which this one never does
            const deadline = setTimeout(() => socket.destroy(), DEADLINE_MS)
            socket.once("close", () => {
              clearTimeout(deadline)
              sockets.delete(socket)
            })
            server.emit("connection", socket)
          }
        })
      })
    )
}

/** From accept to the last byte: a probe is over long before. */
const DEADLINE_MS = 5_000

/** `done[i]`: 0 while task i is pending, else the milliseconds it took. */
export const answer = (
  method: string,
  url: string,
  done: ReadonlyArray<number>
): { readonly status: number; readonly body: string } => {
  const [path, query] = url.split("?", 2)
  if (path !== "/healthz/ready") return { status: 404, body: "" }
  if (method !== "GET") return { status: 405, body: "" }
  const pending = READINESS_TASKS.filter((_, index) => !done[index]).toSorted()
  const verbose = new URLSearchParams(query).has("verbose")
  const tasks = READINESS_TASKS.map((task, index) =>
    done[index] ? `${task}: done after ${Math.round(done[index])} ms\n` : `${task}: pending\n`
  ).join("")
  return {
    status: pending.length === 0 ? 200 : 500,
    body: `${pending.length === 0 ? "ready" : `not ready, pending: ${pending.join(", ")}`}\n${verbose ? tasks : ""}`
  }
}
