/** Loop protection (reference datapath §1.5): a connection to one of our own listeners would come back to us for ever. */
import { isLoopback, type Ip, type SocketAddress } from "../Address.ts"

/**
 * Inbound and passthrough look at every address. Outbound and SOCKS5 look at loopback and at this host's own addresses
 * (ztunnel at loopback only: a connection to its port that nothing redirected would go in circles).
 */
export const isSelfCall = (
  { ip, port }: SocketAddress,
  illegalPorts: ReadonlyArray<number>,
  isOwn: (ip: Ip) => boolean
): boolean =>
  // Linux connects the unspecified address to this host; a SOCKS5 client can ask for it
  illegalPorts.includes(port) && (isLoopback(ip) || ip === "0.0.0.0" || ip === "::" || isOwn(ip))

export const anyAddress = (): boolean => true
