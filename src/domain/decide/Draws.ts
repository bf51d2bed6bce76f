/**
 * Many random numbers from one, so that a decision that has to be made again (its `NameNeeded` was answered) makes the same
 * choices again. The generator is sfc32 (Chris Doty-Humphrey, PractRand), seeded and warmed up as there.
 */

/** `random` is in [0, 1); all its 53 bits count. What comes out is in [0, 1), of 53 bits again. */
export const makeDraws = (random: number): (() => number) => {
  const bits = Math.floor(random * 2 ** 53)
  let a = 0
  let b = bits | 0
  let c = (bits / 2 ** 32) | 0
  let counter = 1

  const word = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  // seeds that differ in one bit are alike before that
  for (let round = 0; round < WARM_UP; round++) word()
  return () => ((word() >>> 5) * 2 ** 26 + (word() >>> 6)) / 2 ** 53
}

const WARM_UP = 12
