/** A mesh's batches in a file, as bytes with their lengths before them: so that who is measured need not make them. */
import { closeSync, openSync, readSync, writeFileSync } from "node:fs"

export const writeBatches = (path: string, batches: Iterable<Uint8Array>): void => {
  writeFileSync(path, "")
  for (const batch of batches) {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, batch.length)
    writeFileSync(path, Buffer.concat([length, batch]), { flag: "a" })
  }
}

/** Each in shared memory of its own, as the layers want them; nothing else of the file stays. */
export function* readBatches(path: string): Generator<Uint8Array> {
  const fd = openSync(path, "r")
  try {
    const length = new Uint8Array(4)
    while (readSync(fd, length) > 0) {
      const batch = new Uint8Array(new SharedArrayBuffer(new DataView(length.buffer).getUint32(0)))
      if (readSync(fd, batch) !== batch.length) throw new Error(`${path} is cut`)
      yield batch
    }
  } finally {
    closeSync(fd)
  }
}
