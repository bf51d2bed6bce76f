/**
 * 2 000 idle connections: growth of the resident memory of each process, divided. Everything is included, whatever the
 * heap grew to on the way; the first connections, which load code, are made before.
 */
import { setTimeout as after } from "node:timers/promises"
import { residentBytes } from "../measure.ts"
import { type Case, perProcess } from "./Case.ts"

export const memory: Case = {
  name: "memory",
  about: `growth of resident memory per idle connection and process, at 2000 connections`,
  fresh: true,
  run: async (load, running) => {
    if (running.processes.length === 0) return []
    const entry = running.entries.echo
    await load.hold({ _tag: "Hold", entry, count: 50 })
    await load.release()
    await after(SETTLE_MS)
    const resident = () => running.processes.map(({ pid }) => residentBytes(pid))
    const before = resident()
    await load.hold({ _tag: "Hold", entry, count: CONNECTIONS })
    await after(SETTLE_MS)
    const grown = resident().map((bytes, index) => (bytes - (before[index] ?? 0)) / CONNECTIONS / 1000)
    await load.release()
    return perProcess(running, "memory", "KB each", grown)
  }
}

const CONNECTIONS = 2000
const SETTLE_MS = 1000
