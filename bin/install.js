/**
 * Runs before the npm scripts: installs what package-lock.json says, unless that is what is installed. So a fresh clone
 * needs no step of its own, and a pulled change of a dependency is not forgotten.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))

/** The packages of a lock file by path; npm writes one of the same form into node_modules of what it installed. */
const packagesOf = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).packages : {})

const isInstalled = () => {
  const wanted = packagesOf(`${root}package-lock.json`)
  const installed = packagesOf(`${root}node_modules/.package-lock.json`)
  const same = (path) =>
    installed[path]?.version === wanted[path].version && installed[path].integrity === wanted[path].integrity
  // a missing optional package is one for another system than this
  const fine = (path) => path === "" || (installed[path] === undefined ? wanted[path].optional === true : same(path))
  return (
    existsSync(`${root}node_modules/.bin/node`) &&
    Object.keys(wanted).every(fine) &&
    Object.keys(installed).every((path) => path in wanted)
  )
}

if (!isInstalled()) {
  console.error("installing the dependencies (npm ci, about 15 s)")
  // not under the pinned Node, which npm scripts find first: npm ci is about to delete it
  const PATH = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.startsWith(`${root}node_modules`))
    .join(delimiter)
  const { error, status } = spawnSync("npm", ["ci", "--include=dev", "--loglevel=error"], {
    cwd: root,
    env: { ...process.env, PATH },
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32"
  })
  if (error !== undefined || status !== 0) {
    console.error(`npm ci failed${error === undefined ? "" : `: ${error.message}`}`)
    process.exit(status || 1)
  }
}
