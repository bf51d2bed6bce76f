/**
 * The only file with foreign function calls. Descriptors are process-wide integers; every call is synchronous, costs a
 * microsecond or two, and throws `NativeError` with the errno. `layerPortable` is the twin without these abilities: it
 * keeps dedicated mode and SOCKS5 working where there is no Linux (one shard, no kernel redirection).
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Os from "node:os"
import { type Ip, ipFromOctets, isIpv6, type SocketAddress } from "../../domain/Address.ts"
import * as Result from "effect/Result"

export class NativeError extends Data.TaggedError("NativeError")<{ readonly call: string; readonly errno: number }> {
  get code(): string {
    return ERRNO_NAMES.get(this.errno) ?? `errno ${this.errno}`
  }
  override get message() {
    return `${this.call}: ${this.code}`
  }
}

/** Accepted sockets inherit what their listener has: what is set here costs a connection nothing. */
export interface ListenOptions {
  readonly address: SocketAddress
  readonly backlog: number
  readonly keepalive: Keepalive | undefined
  /** Reset rather than end a connection whose thread dies: see `setAbortOnClose`. */
  readonly abortOnClose: boolean
}

/** What a dialled socket carries before it connects. */
export interface DialOptions {
  readonly mark: number | undefined
  readonly bind: Ip | undefined
}

export interface Keepalive {
  readonly timeMs: number
  readonly intervalMs: number
  readonly retries: number
  readonly userTimeout: boolean
}

/** What the kernel calls are good for, on this platform. */
export interface LinuxCalls {
  /** A bound, listening, non-blocking socket. One `::` socket serves both families. */
  readonly listen: (options: ListenOptions) => number
  /** An unconnected, non-blocking TCP socket of the family of `remote`. */
  readonly socketFor: (remote: Ip, options: DialOptions) => number
  readonly localAddress: (fd: number) => SocketAddress
  /** SO_ORIGINAL_DST, or undefined where the connection was not redirected. */
  readonly originalDestination: (fd: number) => SocketAddress | undefined
  readonly duplicate: (fd: number) => number
  readonly close: (fd: number) => void
  /** Whoever connects from now on is refused; the descriptor, and every duplicate, stays to be closed. */
  readonly stopListening: (fd: number) => void
  readonly setKeepalive: (fd: number, keepalive: Keepalive) => void
  /** SO_LINGER with 0 s: closing sends RST, however the descriptor comes to be closed. */
  readonly setAbortOnClose: (fd: number, on: boolean) => void
  /** The TCP state of RFC 9293 as Linux numbers it: 1 established, 7 closed. */
  readonly tcpState: (fd: number) => number
  /** The errno that waits at the socket, 0 for none; asking takes it away. */
  readonly socketError: (fd: number) => number
  /** The soft limit of open descriptors. */
  readonly descriptorLimit: () => number
  /** Raises the soft limit of open descriptors to the hard one. */
  readonly raiseDescriptorLimit: () => { readonly from: number; readonly to: number }
  readonly setNonBlocking: (fd: number) => void
  /** Ends the process now. `process.exit` waits for the libuv pool, where a name lookup or a dead disk may hang. */
  readonly exitNow: (code: number) => void
}

export class Native extends Context.Service<Native, { readonly linux: LinuxCalls | undefined }>()(
  "weft/layers/os/Native"
) {
  static readonly layer = Layer.effect(
    this,
    Effect.promise(async () => {
      if (Os.platform() !== "linux") return { linux: undefined }
      try {
        return { linux: await linuxCalls() }
      } catch (cause) {
        throw new Error(
          "the library koffi, which calls the kernel, has no binary for this Linux (glibc or musl, x64 or arm64)",
          {
            cause
          }
        )
      }
    })
  )
  static readonly layerPortable = Layer.succeed(this, { linux: undefined })
}

/** The calls, for the few plain callbacks below Effect. */
export const linuxCalls = async (): Promise<LinuxCalls> => {
  const { default: koffi } = await import("koffi")
  const libc = koffi.load(null)
  const call = (name: string, signature: string) => {
    const native = libc.func(signature)
    return (...args: Array<unknown>): number => {
      const result: unknown = native(...args)
      if (typeof result !== "number" || result < 0) throw new NativeError({ call: name, errno: koffi.errno() })
      return result
    }
  }
  const socket = call("socket", "int socket(int, int, int)")
  const bind = call("bind", "int bind(int, const uint8_t*, uint32_t)")
  const listen = call("listen", "int listen(int, int)")
  const setsockopt = call("setsockopt", "int setsockopt(int, int, int, const uint8_t*, uint32_t)")
  const GETSOCKOPT = "int getsockopt(int, int, int, _Out_ uint8_t*, _Inout_ uint32_t*)"
  const getsockopt = call("getsockopt", GETSOCKOPT)
  /** Without the exception: on most connections SO_ORIGINAL_DST is expected to fail. */
  const tryGetsockopt = libc.func(GETSOCKOPT)
  const getsockname = call("getsockname", "int getsockname(int, _Out_ uint8_t*, _Inout_ uint32_t*)")
  const fcntl = call("fcntl", "int fcntl(int, int, int)")
  const close = call("close", "int close(int)")
  const shutdown = call("shutdown", "int shutdown(int, int)")
  const exit = libc.func("void _exit(int)")
  const getrlimit = call("getrlimit", "int getrlimit(int, _Out_ uint64_t*)")
  const setrlimit = call("setrlimit", "int setrlimit(int, const uint64_t*)")

  const int = Buffer.alloc(4)
  const setInt = (fd: number, level: number, option: number, value: number) => {
    int.writeInt32LE(value)
    setsockopt(fd, level, option, int, 4)
  }
  const setKeepalive = (fd: number, { intervalMs, retries, timeMs, userTimeout }: Keepalive) => {
    setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    setInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, Math.ceil(timeMs / 1000))
    setInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, Math.ceil(intervalMs / 1000))
    setInt(fd, IPPROTO_TCP, TCP_KEEPCNT, retries)
    if (userTimeout) setInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeMs + retries * intervalMs)
  }
  const setAbortOnClose = (fd: number, on: boolean) =>
    void setsockopt(fd, SOL_SOCKET, SO_LINGER, on ? LINGER_0 : LINGER_OFF, 8)
  /** Runs `use` on a fresh socket and closes it if that throws: nothing half-made is left behind. */
  const made = (family: number, use: (fd: number) => void): number => {
    const fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    try {
      use(fd)
      return fd
    } catch (error) {
      close(fd)
      throw error
    }
  }
  const bindTo = (fd: number, address: SocketAddress) => {
    const bytes = encodeAddress(address)
    bind(fd, bytes, bytes.length)
  }
  const redirected = (fd: number, level: number): SocketAddress | undefined => {
    const bytes = Buffer.alloc(28)
    return tryGetsockopt(fd, level, SO_ORIGINAL_DST, bytes, [28]) === 0 ? decodeAddress(bytes) : undefined
  }

  return {
    listen: ({ abortOnClose, address, backlog, keepalive }) =>
      made(isIpv6(address.ip) ? AF_INET6 : AF_INET, (fd) => {
        setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        if (isIpv6(address.ip)) setInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)
        setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1)
        if (keepalive !== undefined) setKeepalive(fd, keepalive)
        if (abortOnClose) setAbortOnClose(fd, true)
        bindTo(fd, address)
        listen(fd, backlog)
      }),
    socketFor: (remote, { bind: local, mark }) =>
      made(isIpv6(remote) ? AF_INET6 : AF_INET, (fd) => {
        if (mark !== undefined) setInt(fd, SOL_SOCKET, SO_MARK, mark)
        if (local !== undefined) {
          setInt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
          bindTo(fd, { ip: local, port: 0 })
        }
      }),
    localAddress: (fd) => {
      const bytes = Buffer.alloc(28)
      getsockname(fd, bytes, [28])
      const address = decodeAddress(bytes)
      if (address === undefined) throw new NativeError({ call: "getsockname", errno: Os.constants.errno.EAFNOSUPPORT })
      return address
    },
    originalDestination: (fd) => redirected(fd, IPPROTO_IP) ?? redirected(fd, IPPROTO_IPV6),
    duplicate: (fd) => fcntl(fd, F_DUPFD_CLOEXEC, 3),
    close: (fd) => void close(fd),
    stopListening: (fd) => void shutdown(fd, SHUT_RDWR),
    setKeepalive,
    setAbortOnClose,
    tcpState: (fd) => {
      const bytes = Buffer.alloc(8)
      getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes, [8])
      return bytes[0]!
    },
    socketError: (fd) => {
      const bytes = Buffer.alloc(4)
      getsockopt(fd, SOL_SOCKET, SO_ERROR, bytes, [4])
      return bytes.readInt32LE(0)
    },
    exitNow: (code) => void exit(code),
    descriptorLimit: () => {
      const limit = new BigUint64Array(2)
      getrlimit(RLIMIT_NOFILE, limit)
      return Number(limit[0])
    },
    raiseDescriptorLimit: () => {
      const limit = new BigUint64Array(2)
      getrlimit(RLIMIT_NOFILE, limit)
      const from = Number(limit[0])
      limit[0] = limit[1]!
      setrlimit(RLIMIT_NOFILE, limit)
      return { from, to: Number(limit[1]) }
    },
    setNonBlocking: (fd) => void fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK)
  }
}

/** struct sockaddr_in / sockaddr_in6 of Linux. */
const encodeAddress = ({ ip, port }: SocketAddress): Buffer => {
  if (!isIpv6(ip)) {
    const bytes = Buffer.alloc(16)
    bytes.writeUInt16LE(AF_INET, 0)
    bytes.writeUInt16BE(port, 2)
    bytes.set(ip.split(".").map(Number), 4)
    return bytes
  }
  const bytes = Buffer.alloc(28)
  bytes.writeUInt16LE(AF_INET6, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(octetsOf(ip), 8)
  return bytes
}

const decodeAddress = (bytes: Buffer): SocketAddress | undefined => {
  const port = bytes.readUInt16BE(2)
  switch (bytes.readUInt16LE(0)) {
    case AF_INET:
      return { ip: Result.getOrThrow(ipFromOctets(bytes.subarray(4, 8))), port }
    case AF_INET6:
      return { ip: Result.getOrThrow(ipFromOctets(bytes.subarray(8, 24))), port }
    default:
      return undefined
  }
}

/** The 16 octets of a canonical IPv6 text. */
const octetsOf = (ip: Ip): Array<number> => {
  const [head = "", tail] = ip.split("::")
  const words = (text: string) => (text === "" ? [] : text.split(":").map((word) => Number.parseInt(word, 16)))
  const left = words(head)
  const right = tail === undefined ? [] : words(tail)
  const all = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right]
  return all.flatMap((word) => [word >> 8, word & 0xff])
}

const ERRNO_NAMES = new Map(Object.entries(Os.constants.errno).map(([name, value]) => [value, name]))
const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_NONBLOCK = 0x800
const SOCK_CLOEXEC = 0x80000
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_ERROR = 4
const SO_KEEPALIVE = 9
const SO_LINGER = 13
/** struct linger: on or off, and seconds. */
const LINGER_0 = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])
const LINGER_OFF = Buffer.alloc(8)
const SO_MARK = 36
const SO_ORIGINAL_DST = 80
const IPPROTO_IP = 0
const IPPROTO_TCP = 6
const IPPROTO_IPV6 = 41
const IP_BIND_ADDRESS_NO_PORT = 24
const IPV6_V6ONLY = 26
const TCP_NODELAY = 1
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6
const TCP_INFO = 11
const TCP_USER_TIMEOUT = 18
const F_GETFL = 3
const F_SETFL = 4
const F_DUPFD_CLOEXEC = 1030
const O_NONBLOCK = 0x800
const RLIMIT_NOFILE = 7
const SHUT_RDWR = 2
