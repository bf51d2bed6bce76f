/** The entry of the main thread: the command line. Each command loads what it needs when it runs. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { RELEASE, VERSION } from "./version.ts"

/** ztunnel ignores whatever follows `proxy`; Istio's chart says `proxy ztunnel`. */
const ignored = Argument.String("args").pipe(
  Argument.withDescription("ignored, as ztunnel does: Istio's chart passes `ztunnel`"),
  Argument.variadic()
)

const runProxy = Effect.flatten(
  Effect.map(
    Effect.promise(() => import("./proxy.ts")),
    ({ proxy }) => proxy
  )
)
const runDemo = Effect.flatten(
  Effect.map(
    Effect.promise(() => import("./demo.ts")),
    ({ demo }) => demo
  )
)

const proxy = Command.make("proxy", { ignored }, () => runProxy).pipe(
  Command.withDescription("Run the proxy. It is configured by environment variables: docs/configuration.md"),
  Command.withExamples([
    {
      command:
        "PROXY_MODE=dedicated PROXY_WORKLOAD_INFO=shop/cart/cart LOCAL_XDS_PATH=mesh.yaml UNSTABLE_ENABLE_SOCKS5=true weft proxy",
      description: "For one workload of a mesh that a file describes"
    }
  ])
)

const demo = Command.make("demo", {}, () => runDemo).pipe(
  Command.withDescription("Run two proxies and an echo server in this process, and a command to try them"),
  Command.withExamples([{ command: "WEFT_SOCKS5_PORT=0 weft demo", description: "With any free port for SOCKS5" }])
)

const version = Command.make("version", {}, () => Console.log(VERSION)).pipe(
  Command.withDescription("Print what this is"),
  Command.withExamples([{ command: "weft version", description: "weft's version, Node's and OpenSSL's" }])
)

const weft = Command.make("weft", {}, () => runProxy).pipe(
  Command.withDescription(
    "A node proxy for Istio's ambient mesh. Without a command it runs the proxy, as ztunnel does."
  ),
  Command.withSubcommands([proxy, demo, version]),
  Command.withExamples([{ command: "weft demo", description: "See a connection through the mesh, without a cluster" }])
)

/** `weft help` is `weft --help`, `weft help demo` is `weft demo --help`. */
const argv = (given: ReadonlyArray<string>): ReadonlyArray<string> =>
  given[0] === "help" ? [...given.slice(1), "--help"] : given

const main = Command.runWith(weft, { version: RELEASE })(argv(process.argv.slice(2))).pipe(
  Effect.provide(NodeServices.layer)
)

/** The command line says itself what is wrong with it. */
const isShown = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"

// until there is something to drain, and `shutdown` takes over, a signal is a plain end
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(0))

// started by the launcher, which has died if its channel closes
process.channel?.unref()
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"))

Effect.runFork(main).addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(0)
  const error = Cause.squash(exit.cause)
  if (!isShown(error)) process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
