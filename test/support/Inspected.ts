/** A process that was started with `--inspect=127.0.0.1:0`: evaluates on its main thread, through the inspector. */
import { eventually } from "./eventually.ts"

/** For the environment of the process. */
export const INSPECT = { NODE_OPTIONS: "--inspect=127.0.0.1:0" }

/** Holds its main thread for as long, without taking any processor; done when it goes on. */
export const stopMainThread = async (stderr: () => string, milliseconds: number): Promise<void> => {
  const url = await eventually(() => /Debugger listening on (ws:\S+)/.exec(stderr())?.[1], "the inspector's address")
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve)
    socket.addEventListener("error", reject)
  })
  const expression = `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${milliseconds})`
  const answer = new Promise<string>((resolve) =>
    socket.addEventListener("message", ({ data }) => resolve(String(data)))
  )
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } }))
  const text = await answer
  socket.close()
  if (!text.includes("timed-out")) throw new Error(`the main thread did not stop: ${text}`)
}
