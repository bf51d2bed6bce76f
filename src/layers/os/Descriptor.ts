/** The descriptor below a Node socket. */
import type * as Net from "node:net"

/** Undefined once it is closed. `_handle.fd` is private but unchanged for years (house.md §5). */
export const descriptorOf = (socket: Net.Socket): number | undefined => {
  const handle: unknown = Reflect.get(socket, "_handle")
  const fd: unknown = typeof handle === "object" && handle !== null ? Reflect.get(handle, "fd") : undefined
  return typeof fd === "number" && fd >= 0 ? fd : undefined
}
