/**
 * A gRPC client for one server: unary calls, streams of answers, and raw duplex streams (reference state §1.2). Messages
 * are protobuf's on both sides; of a duplex stream they are bytes, which a caller may want to keep as they came. The channel
 * belongs to the scope that it was made in; nothing outside this folder knows the library below.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary
} from "@bufbuild/protobuf"
import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf"
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  connectivityState,
  type Metadata
} from "@grpc/grpc-js"
import type { ClientReadableStream, ServiceError, StatusObject } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { GrpcError } from "./GrpcError.ts"

export interface GrpcClient {
  readonly unary: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    deadlineMs: number
  ) => Effect.Effect<MessageShape<O>, GrpcError>
  /** Each answer as it comes; the call belongs to the scope. */
  readonly serverStream: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>
  ) => Effect.Effect<Incoming<MessageShape<O>>, GrpcError, Scope.Scope>
  /** `path` is `/package.Service/Method`. Done when the server is there; the call belongs to the scope. */
  readonly duplex: (path: string) => Effect.Effect<GrpcDuplex, GrpcError, Scope.Scope>
}

export interface Incoming<A> {
  /** The next message, in order. Fails with how the call ended, which is status OK when the server ended it in order. */
  readonly next: Effect.Effect<A, GrpcError>
}

export interface GrpcDuplex extends Incoming<Uint8Array> {
  /** Queues a message; what is queued when the call ends is lost. */
  readonly send: (message: Uint8Array) => void
}

export interface GrpcClientOptions {
  /** As gRPC names it: `ipv4:…`, `dns:…`, `unix:…`. */
  readonly target: string
  /** For messages. */
  readonly server: string
  readonly credentials: ChannelCredentials
  /** Made anew for each call. */
  readonly metadata: Effect.Effect<Metadata, GrpcError>
  /** Whether a quiet connection is asked if it is still there; default yes. */
  readonly pings?: boolean
  /** What TLS asks for by name, where the target is none. */
  readonly tlsName?: string | undefined
}

export const makeGrpcClient = Effect.fnUntraced(function* (
  options: GrpcClientOptions
): Effect.fn.Return<GrpcClient, never, Scope.Scope> {
  const { metadata, server } = options
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client(options.target, options.credentials, channelOf(options))),
    (client) => Effect.sync(() => client.close())
  )
  const failed = (status: Pick<StatusObject, "code" | "details">) => GrpcError.of(server, status)
  const prepared = Effect.andThen(connected(client, server), metadata)
  const encoder =
    <I extends DescMessage>(schema: I) =>
    (message: MessageShape<I>) =>
      Buffer.from(toBinary(schema, message))
  const decoder =
    <O extends DescMessage>(schema: O) =>
    (bytes: Buffer) =>
      fromBinary(schema, bytes)

  return {
    unary: (method, request, deadlineMs) =>
      Effect.flatMap(prepared, (headers) =>
        Effect.callback((resume) => {
          const call = client.makeUnaryRequest(
            pathOf(method),
            encoder(method.input),
            decoder(method.output),
            create(method.input, request),
            headers,
            { deadline: Date.now() + deadlineMs },
            (error: ServiceError | null, answer) =>
              resume(
                error === null && answer !== undefined
                  ? Effect.succeed(answer)
                  : Effect.fail(failed(error ?? NO_ANSWER))
              )
          )
          return Effect.sync(() => call.cancel())
        })
      ),
    serverStream: (method, request) =>
      Effect.flatMap(prepared, (headers) =>
        owned(() => {
          const call = client.makeServerStreamRequest(
            pathOf(method),
            encoder(method.input),
            decoder(method.output),
            create(method.input, request),
            headers
          )
          return { call, next: nextOf(call, failed) }
        })
      ),
    duplex: (path) =>
      Effect.flatMap(prepared, (headers) =>
        owned(() => {
          const call = client.makeBidiStreamRequest(path, asIs, asIs, headers)
          return {
            call,
            next: nextOf(call, failed),
            send: (message: Uint8Array) => void call.write(Buffer.from(message))
          }
        })
      )
  }
})

/** The channel is there, or has failed to be: then the next call fails with the reason, which is not to be had from here. */
const connected = (client: Client, server: string) =>
  Effect.callback<void>((resume) => {
    const channel = client.getChannel()
    let over = false
    const look = () => {
      if (over) return
      const state = channel.getConnectivityState(true)
      const settled = state === connectivityState.READY || state === connectivityState.TRANSIENT_FAILURE
      if (settled || state === connectivityState.SHUTDOWN) return resume(Effect.void)
      channel.watchConnectivityState(state, Infinity, (error) => {
        // it was closed
        if (error === undefined) look()
      })
    }
    look()
    return Effect.sync(() => {
      over = true
    })
  }).pipe(
    Effect.timeoutOrElse({
      duration: CONNECT_MS,
      orElse: () =>
        Effect.fail(GrpcError.of(server, { code: 14, details: `no connection within ${CONNECT_MS / 1000} s` }))
    })
  )

const owned = <C extends { readonly call: { readonly cancel: () => void } }>(start: () => C) =>
  Effect.acquireRelease(Effect.sync(start), ({ call }) => Effect.sync(() => call.cancel()))

/** Messages wait in the call until they are asked for, by one at a time. */
const nextOf = <A>(
  call: ClientReadableStream<A> | ClientDuplexStream<Buffer, A>,
  failed: (status: Pick<StatusObject, "code" | "details">) => GrpcError
): Effect.Effect<A, GrpcError> => {
  let waiting: ((exit: Exit.Exit<A, GrpcError>) => void) | undefined
  let end: Exit.Exit<never, GrpcError> | undefined
  const look = () => {
    if (waiting === undefined) return
    const message: A | null = call.read()
    const exit = message === null ? end : Exit.succeed(message)
    if (exit === undefined) return
    const resume = waiting
    waiting = undefined
    resume(exit)
  }
  // the status comes behind the last message, an error too
  call.on("status", (status: StatusObject) => {
    end = Exit.fail(failed(status))
    look()
  })
  call.on("error", ignore)
  call.on("readable", look)
  return Effect.callback((resume) => {
    waiting = resume
    look()
    return Effect.sync(() => {
      waiting = undefined
    })
  })
}

const pathOf = ({ name, parent }: { readonly name: string; readonly parent: { readonly typeName: string } }) =>
  `/${parent.typeName}/${name}`
const asIs = (bytes: Buffer) => bytes
const ignore = () => {}

const NO_ANSWER = { code: 13, details: "the call ended without an answer" }
const CONNECT_MS = 10_000

const CHANNEL = {
  // ztunnel's (reference state §1.2)
  "grpc.max_receive_message_length": 200 * 1024 * 1024,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // a channel has a connection of its own, and its owner decides when to try again
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.initial_reconnect_backoff_ms": 1_000,
  "grpc.max_reconnect_backoff_ms": 15_000,
  // no answer of DNS, and no variable of the environment, tells us how to behave
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  // a whole mesh is one message
  "grpc-node.flow_control_window": 8 * 1024 * 1024
}

const channelOf = ({ pings = true, tlsName }: GrpcClientOptions) => ({
  ...CHANNEL,
  ...(pings ? {} : { "grpc.keepalive_time_ms": -1 }),
  ...(tlsName === undefined ? {} : { "grpc.ssl_target_name_override": tlsName })
})
