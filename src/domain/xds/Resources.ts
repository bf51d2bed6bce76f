/**
 * Resources as they come over the wire → domain types, with the defaults and the reasons for rejection that ztunnel has
 * (reference state §3.3, §5.4). Bytes may be anything, and a view of shared memory: what cannot be read is `Rejected`.
 *
 * Unknown fields are skipped, as protobuf prescribes; unknown enum numbers are rejected, but for the two of which nothing
 * depends (§10, 16).
 */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf"
import * as Result from "effect/Result"
import type { Policy, PolicyKey } from "../mesh/Policy.ts"
import type { Service } from "../mesh/Service.ts"
import type { Workload } from "../mesh/Workload.ts"
import { AuthorizationSchema } from "./gen/authorization_pb.ts"
import { AddressSchema } from "./gen/workload_pb.ts"
import { toPolicy } from "./PolicyMessage.ts"
import { reject, Rejected } from "./Rejected.ts"
import { toService } from "./ServiceMessage.ts"
import { toWorkload } from "./WorkloadMessage.ts"

export type Resource =
  | { readonly _tag: "Workload"; readonly workload: Workload }
  | { readonly _tag: "Service"; readonly service: Service }

/** An `istio.workload.Address`. */
export const decodeAddress = (bytes: Uint8Array): Result.Result<Resource, Rejected> =>
  rejectable(() => {
    const { type } = parse(AddressSchema, bytes)
    if (type.case === "workload") return { _tag: "Workload", workload: toWorkload(type.value) }
    if (type.case === "service") return { _tag: "Service", service: toService(type.value) }
    return reject("unknown address type")
  })

/** An `istio.security.Authorization`; `key` is the name of the resource. */
export const decodePolicy = (key: PolicyKey, bytes: Uint8Array): Result.Result<Policy, Rejected> =>
  rejectable(() => toPolicy(key, parse(AuthorizationSchema, bytes)))

/** Hostile bytes make the parser throw whatever it likes, RangeError included: all of it means the same here. */
const rejectable = <A>(read: () => A): Result.Result<A, Rejected> =>
  Result.try({
    try: read,
    catch: (error) => (error instanceof Rejected ? error : new Rejected({ reason: `decode: ${messageOf(error)}` }))
  })

const parse = <D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> =>
  bytes.length > MAX_RESOURCE_BYTES
    ? reject(`${bytes.length} bytes are too many for one resource: at most ${MAX_RESOURCE_BYTES} are read`)
    : fromBinary(schema, bytes, READING)

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/**
 * More than what a resource is made from can have in Kubernetes (1.5 MiB). Each two bytes may be an empty match, of which
 * a megabyte takes half a gigabyte and seconds: so no more than that.
 */
export const MAX_RESOURCE_BYTES = 2 * 1024 * 1024

/** Groups are the only thing in these messages that can be nested at will, as unknown fields. */
const READING = { readUnknownFields: false, recursionLimit: 32 }

export const ADDRESS_TYPE = "type.googleapis.com/istio.workload.Address"
export const AUTHORIZATION_TYPE = "type.googleapis.com/istio.security.Authorization"
