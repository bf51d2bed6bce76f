/** Accepted sockets, each counted for as long as it is open: what the accept gate compares. */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import { ShardMetrics } from "../layers/observe/Metrics.ts"

export const makeTracked = Effect.map(ShardMetrics, (metrics) => (socket: Net.Socket): Net.Socket => {
  metrics.add("socketsOpen", 1)
  socket.once("close", () => metrics.add("socketsOpen", -1))
  // whoever takes the socket sees its end; until then a reset must not end the shard
  socket.on("error", ignore)
  return socket
})

const ignore = () => {}
