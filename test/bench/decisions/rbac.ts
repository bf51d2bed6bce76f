/** A verdict that has to ask all of 10 000 policies: global DENYs of ten rules each, as ztunnel measures, of which none matches. */
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import { judge } from "../../../src/domain/decide/Rbac.ts"
import { formatIdentity } from "../../../src/domain/Identity.ts"
import type { Condition, Match, StringMatcher } from "../../../src/domain/mesh/Policy.ts"
import { ipAt } from "../../support/largeMesh.ts"
import { policy, workload } from "../../support/meshes.ts"
import { meshOf } from "../../support/meshOf.ts"
import type { Measured } from "./Measured.ts"
import { usPerCall } from "./time.ts"

export const rbac = (): ReadonlyArray<Measured> =>
  Object.entries(MATCHES).map(([subject, matchAt]) => ({ case: CASE, subject, unit: "ms", value: msToJudge(matchAt) }))

const msToJudge = (matchAt: (index: number) => Match): number => {
  const destination = workload("server", ["192.168.0.1"])
  const mesh = meshOf({
    workloads: [destination],
    policies: Array.from({ length: POLICIES }, (_, at) => deny(at, matchAt))
  })
  const connection = {
    source: ipUnsafe("192.168.0.2"),
    destination: { ip: ipUnsafe("192.168.0.1"), port: 8080 },
    identity: formatIdentity({ trustDomain: "cluster.local", namespace: "ns-shop", serviceAccount: "client" })
  }
  const verdict = () => judge(mesh.policiesOf(destination), destination, connection)
  if (mesh.policiesOf(destination).deny.length !== POLICIES || verdict()._tag !== "Allowed")
    throw new Error("all policies were to be asked, and none to match")
  return usPerCall(verdict) / 1_000
}

const deny = (index: number, matchAt: (index: number) => Match) =>
  policy(`policy-${index}`, {
    scope: "Global",
    action: "Deny",
    rules: Array.from({ length: RULES }, (_, rule) => [[matchAt(index * RULES + rule)]])
  })

/** Texts that begin, or end, as the connection's do. */
const MATCHES: Readonly<Record<string, (index: number) => Match>> = {
  principals: (index) => ({ principals: any(text(index, `cluster.local/ns/ns-shop/sa/app-${index}`)) }),
  namespaces: (index) => ({ namespaces: any(text(index, `ns-${index}`)) }),
  CIDRs: (index) => ({ sourceIps: any(parseCidr(`${ipAt(10, index * 16)}/28`)!) })
}

/** Of each form as many. */
const text = (index: number, value: string): StringMatcher => ({
  _tag: (["Exact", "Prefix", "Suffix"] as const)[index % 3]!,
  value
})

const any = <M>(matcher: M): Condition<M> => ({ any: [matcher], none: [], notUnderstood: false })

const POLICIES = 10_000
const RULES = 10
const CASE = "verdict, 10 000 policies of 10 rules"
