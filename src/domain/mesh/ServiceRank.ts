/**
 * Which of several services that share an address or a hostname a client means (reference state §3.6, §3.7): of those it
 * sees, one of its own namespace, then a canonical one, then the one with the lower key. ztunnel takes the one that came
 * last or first, which differs from node to node (reference state §10, 36).
 */
import type { Service } from "./Service.ts"
import type { ServiceKey } from "./Workload.ts"

/** What tells one service from another. */
export interface Ranked {
  readonly key: ServiceKey
  readonly namespace: string
  readonly canonical: boolean
  readonly visibility: Service["visibility"]
}

/** Without a client namespace everything is visible. */
export const isVisible = (
  { namespace, visibility }: Pick<Service, "namespace" | "visibility">,
  clientNamespace: string | undefined
): boolean => visibility === "Public" || clientNamespace === undefined || namespace === clientNamespace

/** Below 0: `a` is meant rather than `b` by those who see both from the same distance. */
export const serviceOrder = (a: Ranked, b: Ranked): number =>
  Number(b.canonical) - Number(a.canonical) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

/** The parts of an index in which a service is, so that no lookup walks past those that its client does not see. */
export const scopesOf = ({ namespace, visibility }: Ranked): ReadonlyArray<string> =>
  visibility === "Public" ? [ALL, PUBLIC, own(namespace)] : [ALL, own(namespace)]

/** The parts of an index that a client sees, those that it prefers first. */
export const scopesSeenBy = (clientNamespace: string | undefined): ReadonlyArray<string> =>
  clientNamespace === undefined ? SEES_ALL : [own(clientNamespace), PUBLIC]

const own = (namespace: string) => `@${namespace}/`
const PUBLIC = "+"
const ALL = "*"
const SEES_ALL = [ALL]
