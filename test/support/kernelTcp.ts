/** What the kernel says of this process's descriptors, for tests that count them. Linux only. */
import * as Fs from "node:fs"

/** The open sockets of this process, each as its inode's name. */
export const openSockets = (): ReadonlySet<string> => {
  const sockets = new Set<string>()
  for (const fd of Fs.readdirSync("/proc/self/fd")) {
    try {
      const target = Fs.readlinkSync(`/proc/self/fd/${fd}`)
      if (target.startsWith("socket:")) sockets.add(target)
    } catch {
      // the descriptor of the listing itself
    }
  }
  return sockets
}

export const isOpen = (fd: number): boolean => Fs.existsSync(`/proc/self/fd/${fd}`)

/** Sockets that are open and were not `before`: what a test has left behind. */
export const newSockets = (before: ReadonlySet<string>): ReadonlyArray<string> =>
  [...openSockets()].filter((socket) => !before.has(socket))
