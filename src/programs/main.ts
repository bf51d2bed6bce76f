/** The entry of the main thread: the command line. Each command loads what it needs when it runs. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
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

const explain = Command.make(
  "explain",
  {
    mesh: Flag.String("mesh").pipe(Flag.withMetavar("FILE"), Flag.withDescription("the mesh file (docs/mesh-file.md)")),
    from: Flag.String("from").pipe(
      Flag.withMetavar("NAMESPACE/NAME"),
      Flag.withDescription("the workload that connects; its uid, where several have the name")
    ),
    to: Flag.String("to").pipe(
      Flag.withMetavar("HOST:PORT"),
      Flag.withDescription("what it connects to: an address, or the name of a service or workload")
    ),
    network: Flag.String("network").pipe(
      Flag.optional,
      Flag.withMetavar("NAME"),
      Flag.withDescription("the proxy's network (NETWORK); by default the workload's")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("for programs: docs/explain.md"))
  },
  ({ network, ...options }) =>
    Effect.flatMap(
      Effect.promise(() => import("./explain.ts")),
      (program) => program.explain({ ...options, network: Option.getOrUndefined(network) })
    )
).pipe(
  Command.withDescription(
    "Say what would become of a connection in the mesh of a file, and why. Exit code 0: it is carried; 1: it is not; 2: bad input"
  ),
  Command.withExamples([
    {
      command: "weft explain --mesh examples/explain.yaml --from shop/batch-0 --to pay:443",
      description: "May the nightly job reach pay, and if not, what has to change?"
    }
  ])
)

const version = Command.make("version", {}, () => Console.log(VERSION)).pipe(
  Command.withDescription("Print what this is"),
  Command.withExamples([{ command: "weft version", description: "weft's version, Node's and OpenSSL's" }])
)

const weft = Command.make("weft", {}, () => runProxy).pipe(
  Command.withDescription(
    "A node proxy for Istio's ambient mesh. Without a command it runs the proxy, as ztunnel does."
  ),
  Command.withSubcommands([proxy, demo, explain, version]),
  Command.withExamples([{ command: "weft demo", description: "See a connection through the mesh, without a cluster" }])
)

/** `weft help` is `weft --help`, `weft help demo` is `weft demo --help`. */
const argv = (given: ReadonlyArray<string>): ReadonlyArray<string> =>
  given[0] === "help" ? [...given.slice(1), "--help"] : given

const main = Command.runWith(weft, { version: RELEASE })(argv(process.argv.slice(2))).pipe(
  Effect.provide(NodeServices.layer)
)

/** Of explain, 1 is an answer, and whatever else goes wrong is 2. */
const exitCodeOf = (error: unknown): number =>
  process.argv[2] === "explain" && !Predicate.isTagged(error, "NotCarried") ? 2 : Runtime.getErrorExitCode(error)

// until there is something to drain, and `shutdown` takes over, a signal is a plain end
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(0))

// started by the launcher, which has died if its channel closes
process.channel?.unref()
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"))

Effect.runFork(main).addObserver((exit) => {
  if (Exit.isSuccess(exit)) process.exit(0)
  const error = Cause.squash(exit.cause)
  // the command line says itself what is wrong with it
  if (Runtime.getErrorReported(error)) {
    process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  process.exit(exitCodeOf(error))
})
