/**
 * A batch of resources as bytes: an encoded `DeltaDiscoveryResponse` (reference state §2.1), as it comes from a control
 * plane and as it crosses threads. It is read one resource at a time, so that a reader can stop in between, and no
 * resource is copied or decoded here.
 *
 * The frame is all or nothing: of a batch that is cut or garbled, nothing is read.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import * as Result from "effect/Result"

export interface Entry {
  readonly name: string
  readonly version: string
  /** Where its value is inside the bytes of the batch. */
  readonly start: number
  readonly end: number
}

export type Item =
  /** The first, unless the batch cannot be read. Empty: not said. */
  | { readonly _tag: "TypeUrl"; readonly typeUrl: string }
  | ({ readonly _tag: "Resource" } & Entry)
  /** After all resources. */
  | { readonly _tag: "Removed"; readonly name: string }
  /** A resource that cannot be read; last and without a name: the batch, from where it is cut or garbled. */
  | { readonly _tag: "Bad"; readonly name: string; readonly reason: string }

/**
 * In the order of the wire, but for what was removed, which is last (§1.5). Never throws. Without a `typeUrl` the batch is
 * walked once before the first item, 0.1 µs per resource; one that `typeUrlOf` has answered for can be begun at once.
 */
export function* readDelta(bytes: Uint8Array, typeUrl?: string): Generator<Item, void, void> {
  const type = typeUrl === undefined ? Result.try(() => walkFrame(bytes)) : Result.succeed(typeUrl)
  if (Result.isFailure(type)) {
    yield bad("", type.failure)
    return
  }
  yield { _tag: "TypeUrl", typeUrl: type.success }
  const reader = new BinaryReader(bytes)
  let firstRemoved: number | undefined
  try {
    for (let at = 0, field = nextField(reader); field !== END; at = reader.pos, field = nextField(reader)) {
      if (field === RESOURCES) {
        yield readResource(reader)
        continue
      }
      if (field === REMOVED) firstRemoved ??= at
      spanOf(reader)
    }
    reader.pos = firstRemoved ?? bytes.length
    for (let field = nextField(reader); field !== END; field = nextField(reader)) {
      if (field === REMOVED) yield { _tag: "Removed", name: reader.string(true) }
      else spanOf(reader)
    }
  } catch (error) {
    yield bad("", error)
  }
}

/** Undefined: not said, or the batch cannot be read. */
export const typeUrlOf = (bytes: Uint8Array): string | undefined =>
  Result.getOrUndefined(Result.try(() => walkFrame(bytes))) || undefined

/** In shared memory. */
export const encodeDelta = (
  typeUrl: string,
  resources: Iterable<{ readonly name: string; readonly version?: string; readonly value: Uint8Array }>,
  removed: Iterable<string>
): Uint8Array => {
  const parts: Array<Uint8Array> = []
  for (const { name, value, version = "" } of resources) parts.push(resourceHead(name, version, value.length), value)
  const writer = new BinaryWriter()
  if (typeUrl !== "") writer.tag(TYPE_URL, WireType.LengthDelimited).string(typeUrl)
  for (const name of removed) writer.tag(REMOVED, WireType.LengthDelimited).string(name)
  parts.push(writer.finish())
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  const bytes = new Uint8Array(new SharedArrayBuffer(size))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** Its type. Throws for all that `readDelta` would stop at. */
const walkFrame = (bytes: Uint8Array): string => {
  const reader = new BinaryReader(bytes)
  let typeUrl = ""
  for (let field = nextField(reader); field !== END; field = nextField(reader)) {
    if (field === TYPE_URL) typeUrl = reader.string(true)
    else if (field === REMOVED) reader.string(true)
    else spanOf(reader)
  }
  return typeUrl
}

/** Moves behind the resource, whatever is in it. Throws if that is behind the batch. */
const readResource = (reader: BinaryReader): Item => {
  const { end, start } = spanOf(reader)
  reader.pos = start
  const fields: ResourceFields = { name: "", version: "", body: undefined }
  const read = Result.try(() => readFields(reader, end, fields))
  reader.pos = end
  const { name, version } = fields
  if (Result.isFailure(read)) return bad(name, read.failure)
  if (fields.body === undefined) return { _tag: "Bad", name, reason: "XDS payload without resource" }
  return { _tag: "Resource", name, version, start: fields.body.start, end: fields.body.end }
}

interface Span {
  readonly start: number
  readonly end: number
}

interface ResourceFields {
  name: string
  version: string
  body: Span | undefined
}

/** Throws. */
const readFields = (reader: BinaryReader, end: number, into: ResourceFields): void => {
  let body: Span | undefined
  for (let field = nextField(reader, end); field !== END; field = nextField(reader, end)) {
    if (field === NAME) into.name = reader.string(true)
    else if (field === VERSION) into.version = reader.string(true)
    else if (field === BODY) body = spanOf(reader)
    else spanOf(reader)
  }
  // last, so that a resource with a bad body has its name
  if (body !== undefined) into.body = valueOf(reader, body)
}

/** The value of a `google.protobuf.Any`. Its type is not looked at (§1.3). */
const valueOf = (reader: BinaryReader, any: Span): Span => {
  let value = { start: any.end, end: any.end }
  reader.pos = any.start
  for (let field = nextField(reader, any.end); field !== END; field = nextField(reader, any.end)) {
    const span = spanOf(reader)
    if (field === ANY_VALUE) value = span
  }
  return value
}

/**
 * Moves to what follows the next tag and is of text, bytes or a message, as all are that we know. What else there is, is
 * skipped; so a known number of another type is an unknown field, as protobuf has it.
 */
const nextField = (reader: BinaryReader, end = reader.len): number => {
  while (reader.pos < end) {
    const [field, wireType] = reader.tag()
    if (wireType === WireType.LengthDelimited) return field
    reader.skip(wireType, field)
  }
  if (reader.pos > end) throw cut()
  return END
}

/** Moves behind it. Unlike the reader's own, makes no view of the bytes: a batch may have 100 000. */
const spanOf = (reader: BinaryReader): Span => {
  const length = reader.uint32()
  const start = reader.pos
  reader.pos += length
  if (reader.pos > reader.len) throw cut()
  return { start, end: reader.pos }
}

const cut = () => new RangeError("premature EOF")

const bad = (name: string, error: unknown): Item => ({
  _tag: "Bad",
  name,
  reason: `decode: ${error instanceof Error ? error.message : String(error)}`
})

/** What stands before the bytes of the value, which are its last. */
const resourceHead = (name: string, version: string, length: number): Uint8Array => {
  const any = WRITER.tag(ANY_VALUE, WireType.LengthDelimited).uint32(length).finish()
  if (version !== "") WRITER.tag(VERSION, WireType.LengthDelimited).string(version)
  if (name !== "") WRITER.tag(NAME, WireType.LengthDelimited).string(name)
  WRITER.tag(BODY, WireType.LengthDelimited)
    .uint32(any.length + length)
    .raw(any)
  const fields = WRITER.finish()
  WRITER.tag(RESOURCES, WireType.LengthDelimited)
    .uint32(fields.length + length)
    .raw(fields)
  return WRITER.finish()
}

/** Empty before and after each use. */
const WRITER = new BinaryWriter()

/** No field has this number. */
const END = 0
/** Of `DeltaDiscoveryResponse`. */
const RESOURCES = 2
const TYPE_URL = 4
const REMOVED = 6
/** Of `Resource`. */
const VERSION = 1
const BODY = 2
const NAME = 3
/** Of `google.protobuf.Any`. */
const ANY_VALUE = 2
