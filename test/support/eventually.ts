/** For what no event tells: asks again and again, until a deadline. */

/** Answers with what `check` gives once it is neither false nor undefined; fails saying `what` it waited for. */
export const eventually = async <A>(
  check: () => A | false | undefined | Promise<A | false | undefined>,
  what: string | (() => string),
  timeoutMs = 5_000
): Promise<A> => {
  const deadline = performance.now() + timeoutMs
  while (true) {
    const found = await check()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === "string" ? what : what()}`)
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS))
  }
}

const EVERY_MS = 10
