import { networkInterfaces } from "node:os"
import { assert, it } from "@effect/vitest"
import { ipUnsafe, kernelAddress } from "../../../src/domain/Address.ts"
import { isOwnAddress } from "../../../src/layers/os/OwnAddresses.ts"

it("the addresses of every interface are this host's own, others are not", () => {
  for (const { address } of Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])) {
    const ip = kernelAddress(address, 0)?.ip
    assert.isTrue(ip !== undefined && isOwnAddress(ip), address)
  }
  // of the ranges that are for documentation (RFC 5737, RFC 3849)
  for (const other of ["192.0.2.1", "2001:db8::1"]) assert.isFalse(isOwnAddress(ipUnsafe(other)), other)
})
