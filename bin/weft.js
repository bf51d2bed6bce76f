#!/usr/bin/env node
/**
 * `weft`: starts src/programs/main.ts under the Node that the package pins, whatever Node runs this file (20 or newer).
 * Also sets what must be set before Node starts: the size of libuv's pool, whose 4 threads a few blocked waits would use up.
 */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url))

// of a checkout, or of the project that weft is installed in
const node = [path("../node_modules/.bin/node"), path("../../.bin/node")].find((candidate) => existsSync(candidate))
if (node === undefined) {
  console.error(`weft: the Node that weft runs on is not installed: run npm ci in ${path("..")}`)
  process.exit(1)
}

const args = [path("../src/programs/main.ts"), ...process.argv.slice(2)]
const env = { UV_THREADPOOL_SIZE: "32", ...process.env }

if (typeof process.execve === "function" && process.platform !== "win32") {
  // one process: its signals, standard streams and exit code are weft's own
  process.execve(node, [node, ...args], env)
} else {
  // the channel closes when this process is killed: then the child stops, too
  const child = spawn(node, args, { env, stdio: ["inherit", "inherit", "inherit", "ipc"] })
  // Ctrl-C in a terminal reaches the child by itself and once more from here; it takes SIGINTs within 300 ms as one
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => {
    console.error(`weft: cannot start ${node}: ${error.message}`)
    process.exit(1)
  })
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    // end as the child did, so that who waits for us sees the same
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
