import { globSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"

describe("the messages of docs/operating.md", () => {
  const sources = globSync(["src/**/*.ts", "bin/*.js"]).map((path) => readFileSync(path, "utf8"))
  const [, table = ""] = readFileSync("docs/operating.md", "utf8").split("## Messages")
  const messages = Array.from(table.matchAll(/^\| `([^`]+)` \|/gm), ([, message = ""]) => message)

  it("are there", () => assert.isAbove(messages.length, 10))

  it.each(messages)("%s", (message) => {
    // what varies is written … here, and is a substitution in the code
    const parts = message.split("…").filter((part) => part.length > 3)
    const found = sources.some((text) => parts.every((part) => text.includes(part)))
    assert.isTrue(found, `no file says ${parts.join(" … ")}`)
  })
})
