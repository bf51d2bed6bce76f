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
        const server = yield* Effect.acquireRelease(
          Effect.sync(() =>
            Http.createServer(
              { headersTimeout: 2_000, requestTimeout: 5_000, keepAliveTimeout: 5_000 },
              (request, response) => {
                const { body, status } = answer(request.method ?? "", request.url ?? "", Array.from(readiness))
                response.statusCode = status
                if (body !== "") response.setHeader("content-type", "text/plain")
                // headers and body at once, so that Node tells the length
                response.end(body)
              }
            )
          ),
          (server) => Effect.sync(() => server.closeAllConnections())
        )
        return ReadinessServer.of({ accept: (socket) => void server.emit("connection", socket) })
      })
    )
}

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
