/** The addresses of this host. */
import * as Os from "node:os"
import { type Ip, kernelAddress } from "../../domain/Address.ts"

/** Asks the system each time: addresses come and go. Tens of microseconds, so only for what is suspicious already. */
export const isOwnAddress = (ip: Ip): boolean =>
  Object.values(Os.networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => kernelAddress(address, 0)?.ip === ip)
  )
