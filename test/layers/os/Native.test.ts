import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { type LinuxCalls, linuxCalls, Native, NativeError } from "../../../src/layers/os/Native.ts"
import { descriptorOf } from "../../../src/layers/os/Descriptor.ts"
import { isMissing, isRoot } from "../../support/commands.ts"
import { eventually } from "../../support/eventually.ts"
import { isOpen, openSockets } from "../../support/kernelTcp.ts"
import { connectedConduit } from "../../support/tcpConduits.ts"

const onLinux = Os.platform() === "linux"
const SS: string = "ss"
const LOOPBACK = ipUnsafe("127.0.0.1")

let linux: LinuxCalls
beforeAll(async () => {
  if (onLinux) linux = await linuxCalls()
})

/** A listening descriptor that the test owns. */
const listening = (ip: string, port = 0) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      linux.listen({ address: { ip: ipUnsafe(ip), port }, backlog: 16, keepalive: undefined, abortOnClose: false })
    ),
    (fd) => Effect.sync(() => linux.close(fd))
  )

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return "no error"
  } catch (error) {
    return error instanceof NativeError ? error.code : String(error)
  }
}

describe.skipIf(!onLinux)("the kernel's calls (Linux)", () => {
  it.live.each(["127.0.0.1", "127.9.8.7", "::1", "0.0.0.0", "::"])("listen on %s and tell where that is", (ip) =>
    Effect.gen(function* () {
      const fd = yield* listening(ip)
      const address = linux.localAddress(fd)
      assert.strictEqual(address.ip, ip)
      assert.isAbove(address.port, 0)
      const flags = Fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")
      // O_CLOEXEC 02000000 and O_NONBLOCK 04000
      assert.match(flags, /^flags:\t02004002$/m)
    })
  )

  it.live("one wildcard socket of IPv6 takes IPv4 as well", () =>
    Effect.gen(function* () {
      const { port } = linux.localAddress(yield* listening("::"))
      for (const host of ["127.0.0.1", "::1"]) {
        const socket = Net.connect({ host, port })
        yield* Effect.promise(() => once(socket, "connect"))
        socket.destroy()
      }
    })
  )

  it.live("a taken port is EADDRINUSE, and nothing half-made is left", () =>
    Effect.gen(function* () {
      const address = linux.localAddress(yield* listening("127.0.0.1"))
      const before = openSockets()
      assert.strictEqual(
        codeOf(() => linux.listen({ address, backlog: 1, keepalive: undefined, abortOnClose: false })),
        "EADDRINUSE"
      )
      assert.deepStrictEqual(openSockets(), before)
    })
  )

  it("an address that is not this machine's is EADDRNOTAVAIL; a wrong descriptor EBADF", () => {
    const address = { ip: ipUnsafe("192.0.2.1"), port: 0 }
    assert.strictEqual(
      codeOf(() => linux.listen({ address, backlog: 1, keepalive: undefined, abortOnClose: false })),
      "EADDRNOTAVAIL"
    )
    assert.strictEqual(
      codeOf(() => linux.duplicate(999_999)),
      "EBADF"
    )
    assert.strictEqual(
      codeOf(() => linux.localAddress(999_999)),
      "EBADF"
    )
    assert.strictEqual(
      codeOf(() => linux.close(999_999)),
      "EBADF"
    )
    assert.strictEqual(
      codeOf(() => linux.tcpState(999_999)),
      "EBADF"
    )
  })

  it.live("a duplicate keeps the socket listening when the first descriptor is closed", () =>
    Effect.gen(function* () {
      const fd = linux.listen({
        address: { ip: LOOPBACK, port: 0 },
        backlog: 16,
        keepalive: undefined,
        abortOnClose: false
      })
      const { port } = linux.localAddress(fd)
      const own = linux.duplicate(fd)
      yield* Effect.addFinalizer(() => Effect.sync(() => linux.close(own)))
      linux.close(fd)
      assert.isFalse(isOpen(fd))
      const socket = Net.connect({ host: "127.0.0.1", port })
      yield* Effect.promise(() => once(socket, "connect"))
      socket.destroy()
    })
  )

  it.live("a socket bound to an address leaves from there; the family is the remote's", () =>
    Effect.gen(function* () {
      const { port } = linux.localAddress(yield* listening("127.0.0.1"))
      const fd = linux.socketFor(LOOPBACK, { mark: undefined, bind: ipUnsafe("127.0.0.77") })
      const socket = new Net.Socket({ fd, manualStart: true } as Net.SocketConstructorOpts) // Node has it, its types not
      yield* Effect.addFinalizer(() => Effect.sync(() => socket.destroy()))
      socket.connect({ host: "127.0.0.1", port })
      yield* Effect.promise(() => once(socket, "connect"))
      assert.strictEqual(socket.localAddress, "127.0.0.77")
      const six = linux.socketFor(ipUnsafe("::1"), { mark: undefined, bind: undefined })
      assert.deepStrictEqual(linux.localAddress(six), { ip: ipUnsafe("::"), port: 0 })
      linux.close(six)
    })
  )

  it.live("tell no original destination of a connection that nothing redirected", () =>
    Effect.gen(function* () {
      const { conduit } = yield* connectedConduit
      assert.isUndefined(linux.originalDestination(descriptorOf(conduit.socket) ?? -1))
    })
  )

  it.live("tell the TCP state: 1 while it lives, 7 once the peer has reset it", () =>
    Effect.gen(function* () {
      const { conduit, peer } = yield* connectedConduit
      const fd = descriptorOf(conduit.socket) ?? -1
      assert.strictEqual(linux.tcpState(fd), 1)
      peer.resetAndDestroy()
      yield* Effect.promise(() => eventually(() => linux.tcpState(fd) === 7, "the reset"))
    })
  )

  it.live.skipIf(isMissing(SS))("set keepalive and the user timeout, as ss tells (ss)", () =>
    Effect.gen(function* () {
      const { conduit } = yield* connectedConduit
      const fd = descriptorOf(conduit.socket) ?? -1
      linux.setKeepalive(fd, { timeMs: 180_000, intervalMs: 180_000, retries: 9, userTimeout: true })
      const filter = ["-Htno", "src", `127.0.0.1:${conduit.socket.localPort}`]
      const { stdout } = ChildProcess.spawnSync(SS, filter, { encoding: "utf8" })
      assert.match(stdout, /timer:\(keepalive,[23](min|:)/)
    })
  )

  it("raise the limit of descriptors to the hard one", () => {
    const { from, to } = linux.raiseDescriptorLimit()
    assert.isAtLeast(to, from)
    assert.match(Fs.readFileSync("/proc/self/limits", "utf8"), new RegExp(`^Max open files +${to} +${to} `, "m"))
    assert.deepStrictEqual(linux.raiseDescriptorLimit(), { from: to, to })
  })

  it.live.skipIf(!isRoot)("mark a socket before it connects (root)", () =>
    Effect.sync(() => {
      const fd = linux.socketFor(LOOPBACK, { mark: 1337, bind: undefined })
      assert.isTrue(isOpen(fd))
      linux.close(fd)
    })
  )
})

it.effect("the portable twin has no kernel calls", () =>
  Effect.gen(function* () {
    assert.isUndefined((yield* Native).linux)
  }).pipe(Effect.provide(Native.layerPortable))
)
