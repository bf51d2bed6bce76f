/** The bare relay in Node: what `a.pipe(b); b.pipe(a)` costs. */
import { startNode } from "../children.ts"
import { socksEntries, type Subject } from "./Subject.ts"

export const pipe: Subject = {
  name: "pipe",
  missing: () => undefined,
  start: async (targets) => {
    const { child, ready } = await startNode<{ port: number }>(new URL("pipeProcess.ts", import.meta.url))
    return {
      entries: socksEntries({ host: "127.0.0.1", port: ready.port }, targets.host, targets),
      processes: [{ role: "relay", pid: child.pid }],
      stop: child.stop
    }
  }
}
