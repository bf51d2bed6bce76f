/** A full collection, in a process that was not started for it. */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

export const collectGarbage = (): void => {
  setFlagsFromString("--expose-gc")
  // with that flag every new context has it
  const collect: () => void = runInNewContext("gc")
  collect()
}
