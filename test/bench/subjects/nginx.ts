/** Debian's nginx with its stream module, one worker, default settings but for the worker's connection limit. */
import { existsSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { startProgram, temporaryDirectory } from "../children.ts"
import { childrenOf } from "../measure.ts"
import { accepts, findProgram, freePorts, plainEntry, type Subject } from "./Subject.ts"

export const nginx: Subject = {
  name: "nginx stream",
  missing: () => {
    if (findProgram("nginx") === undefined) return "nginx is not installed (apt-get install nginx-light)"
    return existsSync(MODULE) ? undefined : "its stream module is not installed (apt-get install libnginx-mod-stream)"
  },
  start: async (targets) => {
    const [echo = 0, source = 0] = await freePorts(2, "127.0.0.1")
    const prefix = await temporaryDirectory()
    const path = join(prefix, "nginx.conf")
    await writeFile(
      path,
      config([
        { port: echo, target: `${targets.host}:${targets.echo}` },
        { port: source, target: `${targets.host}:${targets.source}` }
      ])
    )
    const child = startProgram(findProgram("nginx") ?? "nginx", ["-p", prefix, "-c", path, "-e", "stderr"])
    await accepts(echo, child)
    // the master only watches
    const workers = childrenOf(child.pid).map((pid) => ({ role: "worker", pid }))
    return {
      entries: { echo: plainEntry(echo), source: plainEntry(source) },
      processes: workers,
      stop: child.stop
    }
  }
}

const MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

const config = (ways: ReadonlyArray<{ port: number; target: string }>) => `load_module ${MODULE};
daemon off;
pid nginx.pid;
worker_processes 1;
error_log stderr;
events { worker_connections 8000; }
stream {
${ways.map(({ port, target }) => `  server { listen 127.0.0.1:${port}; proxy_pass ${target}; }\n`).join("")}}
`
