/**
 * Stops the main thread of a Node process from outside, through its inspector: the program needs no hook for it. Start it
 * with `NODE_OPTIONS: INSPECT`; it says on standard error where its inspector listens.
 */
export const INSPECT = "--inspect=127.0.0.1:0"

/**
 * The main thread of the process that printed `stderr` waits for `ms`, taking no processor time. Answers once the order
 * is on its way; the thread itself cannot answer before it is over.
 */
export const blockMainThread = async (stderr: string, ms: number): Promise<void> => {
  const url = /ws:\/\/127\.0\.0\.1:\d+\/[\w-]+/.exec(stderr)?.[0]
  if (url === undefined) throw new Error(`no inspector listens:\n${stderr}`)
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve)
    socket.addEventListener("error", () => reject(new Error(`the inspector at ${url} does not answer`)))
  })
  const expression = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${ms})`
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } }))
  socket.addEventListener("message", () => socket.close())
}
