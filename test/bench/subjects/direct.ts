/** No proxy: the client connects to the server. What the load generator itself can do. */
import { plainEntry, type Subject } from "./Subject.ts"

export const direct: Subject = {
  name: "direct",
  missing: () => undefined,
  start: async (targets) => ({
    entries: { echo: plainEntry(targets.echo, targets.host), source: plainEntry(targets.source, targets.host) },
    processes: [],
    stop: async () => undefined
  })
}
