/** Debian's HAProxy in TCP mode, one thread, default settings but for the connection limit that 2 000 held ones need. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { startProgram, temporaryDirectory } from "../children.ts"
import { accepts, findProgram, freePorts, plainEntry, type Subject } from "./Subject.ts"

export const haproxy: Subject = {
  name: "haproxy",
  missing: () =>
    findProgram("haproxy") === undefined ? "haproxy is not installed (apt-get install haproxy)" : undefined,
  start: async (targets) => {
    const [echo = 0, source = 0] = await freePorts(2, "127.0.0.1")
    const path = join(await temporaryDirectory(), "haproxy.cfg")
    await writeFile(
      path,
      config([
        { port: echo, target: `${targets.host}:${targets.echo}` },
        { port: source, target: `${targets.host}:${targets.source}` }
      ])
    )
    // -db: in the foreground
    const child = startProgram(findProgram("haproxy") ?? "haproxy", ["-db", "-f", path])
    await accepts(echo, child)
    return {
      entries: { echo: plainEntry(echo), source: plainEntry(source) },
      processes: [{ role: "haproxy", pid: child.pid }],
      stop: child.stop
    }
  }
}

const config = (ways: ReadonlyArray<{ port: number; target: string }>) => `global
  nbthread 1
  maxconn 8000
defaults
  mode tcp
  timeout connect 10s
  timeout client 10m
  timeout server 10m
${ways.map(({ port, target }) => `listen from${port}\n  bind 127.0.0.1:${port}\n  server s ${target}\n`).join("")}`
