/** Loop protection (reference datapath §1.5): a connection to one of our own listeners would come back to us for ever. */
import { isLoopback, type SocketAddress } from "../Address.ts"

/** Outbound and SOCKS5 look at loopback destinations only; inbound and passthrough at every address. */
export const isSelfCall = (
  { ip, port }: SocketAddress,
  illegalPorts: ReadonlyArray<number>,
  { loopbackOnly }: { readonly loopbackOnly: boolean }
): boolean =>
  // Linux connects the unspecified address to this host; a SOCKS5 client can ask for it
  illegalPorts.includes(port) && (!loopbackOnly || isLoopback(ip) || ip === "0.0.0.0" || ip === "::")
