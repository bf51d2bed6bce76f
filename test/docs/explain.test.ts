import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { explanationJson } from "../../src/domain/decide/ExplainJson.ts"
import { explanationText } from "../../src/domain/decide/ExplainText.ts"
import type { Step } from "../../src/domain/decide/Trace.ts"
import { explained } from "../support/explained.ts"

/** One that is missing here is a type error. */
const STEPS: Record<Step["_tag"], true> = {
  VipLookup: true,
  WorkloadLookup: true,
  HostnameLookup: true,
  PassthroughMode: true,
  Via: true,
  ViaResolved: true,
  ViaNotFound: true,
  FromWaypoint: true,
  Balance: true,
  AddressChosen: true,
  OtherNetwork: true,
  Inbound: true,
  AsWaypoint: true,
  PolicyMissing: true,
  PolicyChecked: true,
  Judged: true
}

const document = readFileSync("docs/explain.md", "utf8")

describe("docs/explain.md", () => {
  const blocks = Array.from(
    document.matchAll(/^```console\n\$ npx weft explain --mesh (\S+) --from (\S+) --to (\S+)\n([^`]*)^```$/gm),
    ([, mesh = "", from = "", to = "", output = ""]) => ({ mesh, from, to, output })
  )

  it("has an example of each outcome that the issue names", () => assert.lengthOf(blocks, 6))

  it.each(blocks)("says what the program says: $from → $to", ({ from, mesh, output, to }) => {
    assert.strictEqual(output, `${explanationText(explained(mesh)(from, to))}\n`)
  })

  it("has every field of the JSON, and every kind of step", () => {
    const json = explanationJson(explained("examples/explain.yaml")("shop/web-0", "pay:443"))
    const rows = Array.from(document.matchAll(/^\| `(\w+)` \|/gm), ([, name]) => name)
    for (const name of [...Object.keys(json), ...Object.keys(STEPS)]) assert.include(rows, name)
  })
})
