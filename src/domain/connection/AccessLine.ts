/** A connection's record as ztunnel's access log line (reference datapath §9.2): fields in order, absent when unknown. */
import { formatSocketAddress, type SocketAddress } from "../Address.ts"
import type { LogLevel } from "../config/LogFilter.ts"
import { identityOf, type Workload } from "../mesh/Workload.ts"
import type { FieldValue } from "../observe/LogLine.ts"
import type { Baggage } from "../wire/Baggage.ts"
import type { ConnectionRecord, Outcome } from "./ConnectionRecord.ts"
import { describe, type Reason } from "./ProxyError.ts"

export interface AccessLine {
  readonly level: LogLevel
  readonly message: string
  readonly fields: ReadonlyArray<readonly [string, FieldValue]>
}

export const openedLine = (record: ConnectionRecord): AccessLine => ({
  level: "debug",
  message: "connection opened",
  fields: ends(record)
})

/** `now` on the clock of `record.startedAt`, milliseconds. */
export const completeLine = (record: ConnectionRecord, outcome: Outcome, now: number): AccessLine => {
  // the log speaks of the application's direction, the record of the downstream peer's
  const [sent, received] =
    record.reporter === "source" ? [record.received, record.sent] : [record.sent, record.received]
  return {
    level: outcome._tag === "Failed" ? "error" : "info",
    message: "connection complete",
    fields: [
      ...ends(record),
      ["bytes_sent", sent],
      ["bytes_recv", received],
      ["duration", `${Math.max(0, Math.round(now - record.startedAt))}ms`],
      ...(outcome._tag === "Failed" ? [["error", describe(outcome.reason)] as const] : [])
    ]
  }
}

/** A connection that was turned away before anything was known of it. */
export const deniedLine = (
  reporter: ConnectionRecord["reporter"],
  source: SocketAddress | undefined,
  destination: SocketAddress | undefined,
  reason: Reason
): AccessLine => ({
  level: "warn",
  message: "connection failed",
  fields: [
    ...address("src.addr", source),
    ...address("dst.addr", destination),
    ["direction", directionOf(reporter)],
    ["error", describe(reason)]
  ]
})

type Fields = ReadonlyArray<readonly [string, FieldValue]>

const ends = (record: ConnectionRecord): Fields => {
  const { destinationBaggage, destinationWorkload, service, sourceBaggage, sourceWorkload } = record
  return [
    ...address("src.addr", record.source),
    ...text("src.workload", nameOf(sourceWorkload) ?? claimedName(sourceBaggage)),
    ...text("src.namespace", sourceWorkload?.namespace ?? sourceBaggage?.namespace),
    ...text("src.identity", record.mutualTls ? record.sourceIdentity : undefined),
    ...text("src.cluster", sourceWorkload?.clusterId ?? sourceBaggage?.clusterName),
    ...address("dst.addr", record.destination),
    ...(record.hboneAuthority === undefined ? [] : [["dst.hbone_addr", { bare: record.hboneAuthority }] as const]),
    ...text("dst.service", service?.hostname),
    ...text("dst.workload", nameOf(destinationWorkload) ?? claimedName(destinationBaggage)),
    ...text("dst.namespace", destinationWorkload?.namespace ?? destinationBaggage?.namespace),
    ...text("dst.identity", record.mutualTls ? destinationIdentityOf(record) : undefined),
    ...text("dst.cluster", destinationWorkload?.clusterId ?? destinationBaggage?.clusterName),
    ["direction", directionOf(record.reporter)]
  ]
}

const directionOf = (reporter: ConnectionRecord["reporter"]): string => (reporter === "source" ? "outbound" : "inbound")

const nameOf = (workload: Workload | undefined): string | undefined =>
  workload === undefined ? undefined : workload.name === "" ? workload.canonicalName : workload.name

/** As ztunnel names a workload that it knows from baggage only: by its canonical service. */
const claimedName = (baggage: Baggage | undefined): string | undefined => baggage?.serviceName ?? baggage?.workloadName

/** The mesh's, not the one that was proved (reference datapath §9.2); unless the mesh has none. */
const destinationIdentityOf = ({ destinationIdentity, destinationWorkload }: ConnectionRecord): string | undefined =>
  destinationIdentity ?? (destinationWorkload === undefined ? undefined : identityOf(destinationWorkload))

const text = (key: string, value: string | undefined): Fields =>
  value === undefined || value === "" ? [] : [[key, value]]

const address = (key: string, value: SocketAddress | undefined): Fields =>
  value === undefined ? [] : [[key, { bare: formatSocketAddress(value) }]]
