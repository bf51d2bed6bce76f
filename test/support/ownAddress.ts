/**
 * Loopback addresses that no other test has: the port that a test got from the system on one of them is then free on
 * the next as well. Made of this process's id and a count.
 */
let count = 0

export const loopbackAddress = (): string => {
  count += 1
  return `127.${64 + ((process.pid >> 8) & 63)}.${process.pid & 255}.${1 + (count % 250)}`
}
