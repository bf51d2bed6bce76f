import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Semaphore from "effect/Semaphore"
import * as TestClock from "effect/testing/TestClock"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MeshFileSource } from "../../../src/layers/mesh/MeshFileSource.ts"
import { namesIn } from "../../support/batches.ts"
import { meshFile, workload } from "../../support/meshes.ts"

/** A mesh whose only workload has this name. */
const meshOf = (name: string) => meshFile({ workloads: [workload(name, [])], services: [] })

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "weft-mesh-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)

const doing = <A>(step: () => Promise<A>) => Effect.promise(step)

/** The only workload that is changed; what is removed has a minus before it. */
const workloadIn = (batches: ReadonlyArray<Uint8Array>) =>
  namesIn(batches)
    .filter((name) => !name.startsWith("-"))
    .map((name) => name.replace("Kubernetes//Pod/shop/", ""))
    .join()

/**
 * Follows `path`: `next` waits for the name of the next state's workload, `logged` for the next line of the log, while
 * simulated time runs. Nothing may be left of either at the end.
 */
const following = Effect.fnUntraced(function* (path: string) {
  const lines = yield* Queue.unbounded<string>()
  const logger = Logger.make(({ logLevel, message }) => {
    Queue.offerUnsafe(lines, `${logLevel}: ${Array.isArray(message) ? message.join(" ") : String(message)}`)
  })
  const context = yield* Layer.build(
    MeshFileSource.layerFrom({ _tag: "File", path }).pipe(Layer.provideMerge(Logger.layer([logger])))
  )
  const { changes } = yield* MeshFileSource.pipe(Effect.provide(context))
  const turn = yield* Semaphore.make(1)
  yield* TestClock.adjust("250 millis").pipe(
    Effect.andThen(Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))),
    turn.withPermit,
    Effect.forever,
    Effect.forkScoped
  )
  return {
    /** No time passes while this is done to the file system; `afterOneLook` only as much as the source needs to look once. */
    change: (step: () => Promise<unknown>, afterOneLook: () => Promise<unknown> = () => Promise.resolve()) =>
      doing(step).pipe(
        Effect.andThen(TestClock.adjust("250 millis")),
        // longer than a look takes
        Effect.andThen(Effect.forEach([1, 2, 3, 4, 5], () => doing(() => readFile(path).catch(() => undefined)))),
        Effect.andThen(doing(afterOneLook)),
        turn.withPermit
      ),
    next: Effect.map(Queue.take(changes), workloadIn),
    logged: Queue.take(lines),
    quiet: Effect.map(Effect.all([Queue.size(changes), Queue.size(lines)]), (left) =>
      assert.deepStrictEqual(left, [0, 0])
    )
  }
})

const CHANGED = (path: string) => `Info: the mesh file ${path} has changed: 1 workloads, 0 services, 0 policies`

describe("MeshFileSource", () => {
  it.effect("follows a file that is edited and replaced", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      yield* doing(() => writeFile(path, meshOf("one")))
      const mesh = yield* following(path)
      assert.strictEqual(yield* mesh.next, "one")
      yield* mesh.change(() => writeFile(path, meshOf("two")))
      assert.strictEqual(yield* mesh.next, "two")
      assert.strictEqual(yield* mesh.logged, CHANGED(path))
      yield* mesh.change(() => writeFile(`${path}.new`, meshOf("three")))
      yield* mesh.change(() => rename(`${path}.new`, path))
      assert.strictEqual(yield* mesh.next, "three")
      assert.strictEqual(yield* mesh.logged, CHANGED(path))
      yield* mesh.quiet
    })
  )

  it.effect("hands on what an edit changes, and nothing when it changes no resource", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      const both = meshFile({ workloads: [workload("one", []), workload("two", [])], services: [] })
      yield* doing(() => writeFile(path, both))
      const mesh = yield* following(path)
      assert.strictEqual(yield* mesh.next, "one,two")
      yield* mesh.change(() => writeFile(path, `# by hand\n${both}`))
      assert.include(yield* mesh.logged, "has changed: 2 workloads")
      yield* mesh.change(() => writeFile(path, both.replace("/two", "/second")))
      assert.strictEqual(yield* mesh.next, "second")
      assert.include(yield* mesh.logged, "has changed: 2 workloads")
      yield* mesh.quiet
    })
  )

  it.effect("sees a change of the same size and modification time", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      yield* doing(() => writeFile(path, meshOf("one")))
      const mesh = yield* following(path)
      assert.strictEqual(yield* mesh.next, "one")
      yield* mesh.change(() => writeFile(path, meshOf("two")).then(() => utimes(path, 1000, 1000)))
      assert.strictEqual(yield* mesh.next, "two")
      yield* mesh.change(() => writeFile(path, meshOf("six")).then(() => utimes(path, 1000, 1000)))
      assert.strictEqual(yield* mesh.next, "six")
    })
  )

  it.effect("leaves a file alone that is being written", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      yield* doing(() => writeFile(path, meshOf("one")))
      const mesh = yield* following(path)
      assert.strictEqual(yield* mesh.next, "one")
      yield* mesh.change(
        () => writeFile(path, ""),
        () => writeFile(path, meshOf("two"))
      )
      assert.strictEqual(yield* mesh.next, "two")
      assert.strictEqual(yield* mesh.logged, CHANGED(path))
      yield* mesh.quiet
    })
  )

  it.effect("takes the same content for no change", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      yield* doing(() => writeFile(path, meshOf("one")))
      const mesh = yield* following(path)
      assert.strictEqual(yield* mesh.next, "one")
      yield* mesh.change(() => writeFile(`${path}.new`, meshOf("one")).then(() => rename(`${path}.new`, path)))
      yield* mesh.change(() => writeFile(path, ""))
      assert.include(yield* mesh.logged, "an empty document was given")
      yield* mesh.change(() => writeFile(path, meshOf("one")))
      assert.strictEqual(yield* mesh.logged, `Info: the mesh file ${path} is good again`)
      yield* mesh.change(() => writeFile(path, meshOf("two")))
      assert.strictEqual(yield* mesh.next, "two")
    })
  )

  it.effect("follows links that are swapped, as those of a mounted ConfigMap", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const version = (name: string) =>
        mkdir(join(folder, name)).then(() => writeFile(join(folder, name, "mesh.yaml"), meshOf(name)))
      yield* doing(() => version("..v1"))
      yield* doing(() => symlink("..v1", join(folder, "..data")))
      yield* doing(() => symlink("..data/mesh.yaml", join(folder, "mesh.yaml")))
      const mesh = yield* following(join(folder, "mesh.yaml"))
      assert.strictEqual(yield* mesh.next, "..v1")
      yield* mesh.change(() => version("..v2"))
      yield* mesh.change(() => symlink("..v2", join(folder, "..data_tmp")))
      yield* mesh.change(() => rename(join(folder, "..data_tmp"), join(folder, "..data")))
      yield* mesh.change(() => rm(join(folder, "..v1"), { recursive: true }))
      assert.strictEqual(yield* mesh.next, "..v2")
    })
  )

  it.effect(
    "keeps the state when the file goes bad, says so once for each change, and says when it is good again",
    () =>
      Effect.gen(function* () {
        const path = join(yield* temporaryFolder, "mesh.yaml")
        yield* doing(() => writeFile(path, meshOf("one")))
        const mesh = yield* following(path)
        assert.strictEqual(yield* mesh.next, "one")
        yield* mesh.change(() => writeFile(path, "workloads: 7\nservice: []"))
        assert.strictEqual(
          yield* mesh.logged,
          `Error: the mesh file ${path} has 2 problems:
  ${path}:1:12: workloads: 7 was given; a list is accepted
  ${path}:2:1: service: unknown key; accepted here: workloads, services, policies
the mesh stays as it was before`
        )
        yield* mesh.change(() => rm(path))
        assert.match(yield* mesh.logged, /^Error: the mesh file .* cannot be read: ENOENT/)
        yield* mesh.change(() => mkdir(path))
        assert.match(yield* mesh.logged, /^Error: the mesh file .* cannot be read: it is not a regular file/)
        yield* mesh.change(() => rm(path, { recursive: true }).then(() => writeFile(path, meshOf("two"))))
        assert.strictEqual(yield* mesh.next, "two")
        assert.strictEqual(yield* mesh.logged, `Info: the mesh file ${path} is good again`)
        assert.strictEqual(yield* mesh.logged, CHANGED(path))
        yield* mesh.quiet
      })
  )

  it.effect("does not start with a file that is missing or bad", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "mesh.yaml")
      const failure = Layer.build(MeshFileSource.layerFrom({ _tag: "File", path })).pipe(
        Effect.flip,
        Effect.map(({ _tag }) => _tag)
      )
      assert.strictEqual(yield* failure, "MeshFileUnreadable")
      yield* doing(() => writeFile(path, "x"))
      assert.strictEqual(yield* failure, "MeshFileError")
    })
  )

  it.effect("takes a text in place of a file", () =>
    Effect.gen(function* () {
      const load = (text: string) =>
        MeshFileSource.use(({ changes }) => Effect.map(Queue.take(changes), workloadIn)).pipe(
          Effect.provide(MeshFileSource.layerFrom({ _tag: "Inline", text }))
        )
      assert.strictEqual(yield* load(meshOf("inline")), "inline")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(load("x"))))
    })
  )
})

it.live("a pipe in the file's place is refused at once: reading it would never end", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder, "mesh.yaml")
    yield* Effect.sync(() => execFileSync("mkfifo", [path]))
    const error = yield* Effect.flip(Layer.build(MeshFileSource.layerFrom({ _tag: "File", path })))
    assert.include(error.message, "it is not a regular file")
  })
)
