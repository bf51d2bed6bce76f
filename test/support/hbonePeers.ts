/** The other end of an HBONE tunnel, made of `node:http2` and a certificate of the test's own CA. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { once } from "node:events"
import * as Http2 from "node:http2"
import type * as Tls from "node:tls"
import type { Pair, TestCa } from "./TestCa.ts"

interface Place {
  readonly host: string
  readonly port: number
}

/** For `tls.connect` and everything on top of it; the names in certificates are SPIFFE's and not looked at. */
export const tlsOf = (ca: TestCa, leaf: Pair) => ({
  ca: ca.certPem,
  cert: leaf.certPem,
  key: leaf.keyPem,
  minVersion: "TLSv1.3" as const
})

export const hboneClient = (
  { host, port }: Place,
  ca: TestCa,
  leaf: Pair
): Effect.Effect<Http2.ClientHttp2Session, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const session = Http2.connect(`https://${host}:${port}`, {
        ...tlsOf(ca, leaf),
        checkServerIdentity: () => undefined
      })
      session.on("error", () => {})
      await once(session, "remoteSettings")
      return session
    }),
    (session) => Effect.sync(() => session.destroy())
  )

export interface Answer {
  readonly headers: Http2.IncomingHttpHeaders & Http2.IncomingHttpStatusHeader
  /** Names in the order they came. */
  readonly names: ReadonlyArray<string>
  readonly stream: Http2.ClientHttp2Stream
}

/** Sends a request, without its end if it is a CONNECT, and waits for the response's headers. */
export const ask = (session: Http2.ClientHttp2Session, headers: Http2.OutgoingHttpHeaders): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const stream = session.request(headers)
    stream.on("error", reject)
    stream.once("close", () => reject(new Error(`no response; stream closed with code ${stream.rstCode}`)))
    stream.once("response", (received, _flags, raw?: ReadonlyArray<string>) => {
      stream.off("error", reject)
      stream.on("error", () => {})
      resolve({ headers: received, names: (raw ?? []).filter((_, index) => index % 2 === 0), stream })
    })
  })

export interface FakeStream {
  readonly stream: Http2.ServerHttp2Stream
  /** Header names and values, in the order they came. */
  readonly headers: ReadonlyArray<readonly [string, string]>
  /** The subject alternative names of who opened the tunnel, as Node writes them. */
  readonly peer: string | undefined
}

export interface FakeHboneServer extends Place {
  /** The next CONNECT that has not been taken yet. */
  readonly next: () => Promise<FakeStream>
  /** Ends every tunnel below HTTP/2: no RST_STREAM, no GOAWAY. */
  readonly cut: () => void
  /** Tunnels that are up. */
  readonly tunnels: () => number
}

/** Accepts tunnels as the workload of `leaf` would; each CONNECT is answered 200 and handed to the test. */
export const fakeHboneServer = (
  host: string,
  ca: TestCa,
  leaf: Pair,
  settings: Http2.Settings = {},
  wantedPort = 0
): Effect.Effect<FakeHboneServer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = Http2.createSecureServer({ ...tlsOf(ca, leaf), requestCert: true, settings })
        const sessions = new Set<Http2.ServerHttp2Session>()
        const sockets = new Set<Tls.TLSSocket>()
        server.on("secureConnection", (socket: Tls.TLSSocket) => {
          sockets.add(socket)
          socket.once("close", () => sockets.delete(socket))
        })
        const cut = () => sockets.forEach((socket) => socket.destroy())
        const streams: Array<FakeStream> = []
        let takers: Array<(stream: FakeStream) => void> = []
        server.on("session", (session) => {
          sessions.add(session)
          session.on("error", () => {})
        })
        server.on("stream", (stream: Http2.ServerHttp2Stream, _headers, _flags, raw?: ReadonlyArray<string>) => {
          stream.on("error", () => {})
          stream.respond({ ":status": 200 })
          const names = (raw ?? []).flatMap((name, index, all) =>
            index % 2 === 0 ? [[name, all[index + 1] ?? ""] as const] : []
          )
          const [taker, ...others] = takers
          takers = others
          // a session of a secure server is on a TLSSocket
          const socket = stream.session?.socket as Tls.TLSSocket | undefined
          const fake = { stream, headers: names, peer: socket?.getPeerX509Certificate()?.subjectAltName }
          if (taker === undefined) streams.push(fake)
          else taker(fake)
        })
        server.listen(wantedPort, host)
        await once(server, "listening")
        const next = async () => streams.shift() ?? (await new Promise<FakeStream>((resolve) => takers.push(resolve)))
        return { server, sessions, next, cut, tunnels: () => sockets.size }
      }),
      ({ server, sessions }) =>
        Effect.sync(() => {
          server.close()
          for (const session of sessions) session.destroy()
        })
    ),
    ({ cut, next, server, tunnels }) => {
      const address = server.address()
      return { host, port: typeof address === "object" && address !== null ? address.port : 0, next, cut, tunnels }
    }
  )
