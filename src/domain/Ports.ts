/** ztunnel's well-known ports (reference datapath §1.1). */
export const WELL_KNOWN = {
  admin: 15000,
  outbound: 15001,
  inboundPlaintext: 15006,
  inbound: 15008,
  metrics: 15020,
  readiness: 15021,
  dns: 15053,
  socks5: 15080
} as const
