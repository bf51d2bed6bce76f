/**
 * Typed reading of YAML with positions. A `Read<A>` turns the node at one place into an `A`, or into every issue that it
 * finds there; readers of mappings and lists go on after an issue, so one run reports them all. Knows nothing of meshes.
 *
 * Tags of our own (`!Prefix`) are for those who ask for them with `tagOf`; for everybody else, what has one is not what
 * they accept. Null counts as absent, as YAML writers emit it for "not set". Reading goes no deeper than the reader that drives it,
 * and follows at most `MAX_ALIASES` aliases, so a small file cannot unfold into a large one.
 */
import * as Result from "effect/Result"
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type ParsedNode } from "yaml"
import type { MeshFileIssue } from "./MeshFileError.ts"

/** The document that is being read. */
export interface Source {
  readonly document: Document.Parsed
  readonly lines: LineCounter
  aliases: number
}

/** One place of the document: the node there, or nothing (then `offset` is where it should have been). */
export interface At {
  readonly source: Source
  readonly node: ParsedNode | undefined
  readonly offset: number
  readonly path: string
}

type Issues = ReadonlyArray<MeshFileIssue>
export type Read<A> = (at: At) => Result.Result<A, Issues>

/** One key of a mapping. */
export interface Field<A> {
  readonly read: Read<A>
  /** What stands for it when it is absent; without one the key is required. */
  readonly fallback: { readonly value: A } | undefined
}

export const required = <A>(read: Read<A>): Field<A> => ({ read, fallback: undefined })

export const optional = <A, B>(read: Read<A>, fallback: B): Field<A | B> => ({ read, fallback: { value: fallback } })

/** The place of a whole document. */
export const root = (source: Source): At => at(source, source.document.contents, 0, "")

export const issueAt = ({ offset, path, source }: At, problem: string): MeshFileIssue => {
  const { col, line } = source.lines.linePos(offset)
  // a text without a line feed has no line in the counter yet
  return { line: Math.max(line, 1), column: Math.max(col, 1), path, problem }
}

export const fail = (place: At, problem: string) => Result.fail([issueAt(place, problem)])

/** The issue of a value that is not what is accepted there. */
export const unexpected = (place: At, accepted: string) =>
  fail(place, `${given(place)} was given; ${accepted} is accepted`)

/** A value with its place, for what can only be judged once others have been read. */
export interface Placed<A> {
  readonly value: A
  readonly place: At
}

export const placed =
  <A>(read: Read<A>): Read<Placed<A>> =>
  (place) =>
    Result.map(read(place), (value) => ({ value, place }))

export const text: Read<string> = (place) => {
  const value = scalar(place)
  if (typeof value === "string") return Result.succeed(value)
  const quote = value === undefined ? "" : " (put it in quotes)"
  return unexpected(place, `a string${quote}`)
}

export const flag: Read<boolean> = (place) => {
  const value = scalar(place)
  return typeof value === "boolean" ? Result.succeed(value) : unexpected(place, "true or false")
}

/** A whole number from 0 to `maximum`. */
export const integer =
  (maximum: number): Read<number> =>
  (place) => {
    const value = scalar(place)
    return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maximum
      ? Result.succeed(value)
      : unexpected(place, `a whole number from 0 to ${maximum}`)
  }

export const oneOf =
  <const A extends string>(...words: ReadonlyArray<A>): Read<A> =>
  (place) => {
    const value = scalar(place)
    const word = words.find((word) => word === value)
    return word === undefined ? unexpected(place, words.join(" or ")) : Result.succeed(word)
  }

/** A string that `parse` understands; `accepted` says what that is. */
export const parsed =
  <A>(parse: (value: string) => A | undefined, accepted: string): Read<A> =>
  (place) => {
    const value = scalar(place)
    const result = typeof value === "string" ? parse(value) : undefined
    return result === undefined ? unexpected(place, accepted) : Result.succeed(result)
  }

/** A list. With `key`, an element whose key an earlier one has is an issue. */
export const list =
  <A>(read: Read<A>, key?: { readonly of: (value: A) => string; readonly name: string }): Read<ReadonlyArray<A>> =>
  (place) => {
    if (!isSeq(place.node) || tagOf(place) !== undefined) return unexpected(place, "a list")
    const seen = new Map<string, number>()
    return collect(place.node.items, (item, index) => {
      const element = at(place.source, item, place.offset, `${place.path}[${index}]`)
      return Result.flatMap(read(element), (value) => {
        if (key === undefined) return Result.succeed(value)
        const earlier = seen.get(key.of(value))
        seen.set(key.of(value), earlier ?? index)
        if (earlier === undefined) return Result.succeed(value)
        return fail(element, `${place.path}[${earlier}] has the same ${key.name}: ${JSON.stringify(key.of(value))}`)
      })
    })
  }

/** A mapping whose keys are data. The last of two equal keys is an issue, however each is written. */
export const dictionary =
  <K, V>(readKey: Read<K>, readValue: Read<V>): Read<ReadonlyMap<K, V>> =>
  (place) => {
    if (!isMap(place.node)) return unexpected(place, "a map")
    const seen = new Set<K>()
    const entries = collect(place.node.items, (pair) => {
      const path = `${place.path}[${JSON.stringify(keyText(pair.key))}]`
      const keyAt = at(place.source, pair.key, place.offset, path)
      return Result.flatMap(readKey(keyAt), (key) => {
        if (seen.has(key)) return fail(keyAt, "this key was given before")
        seen.add(key)
        const valueAt = at(place.source, pair.value, keyAt.offset, path)
        return Result.map(readValue(valueAt), (value) => [key, value] as const)
      })
    })
    return Result.map(entries, (entries) => new Map(entries))
  }

/** A mapping with known keys; any other key is an issue. */
export const mapping = <A extends object>(fields: { readonly [K in keyof A]: Field<A[K]> }): Read<A> => {
  const accepted = Object.keys(fields).join(", ")
  const known = new Map<string, Field<unknown>>(Object.entries(fields))
  return (place) => {
    if (!isMap(place.node)) return unexpected(place, `a map with the keys ${accepted}`)
    const issues: Array<MeshFileIssue> = []
    const places = new Map<string, At>()
    for (const pair of place.node.items) {
      const name = keyText(pair.key)
      const keyAt = at(place.source, pair.key, place.offset, joined(place.path, name))
      if (places.has(name)) issues.push(issueAt(keyAt, "this key was given before"))
      else if (!known.has(name)) issues.push(issueAt(keyAt, `unknown key; accepted here: ${accepted}`))
      places.set(name, at(place.source, pair.value, keyAt.offset, keyAt.path))
    }
    const values: Record<string, unknown> = {}
    for (const [name, field] of known) {
      const valueAt = places.get(name) ?? { ...place, node: undefined, path: joined(place.path, name) }
      if (isAbsent(valueAt) && field.fallback !== undefined) {
        values[name] = field.fallback.value
        continue
      }
      const value = field.read(valueAt)
      if (Result.isSuccess(value)) values[name] = value.success
      else issues.push(...value.failure)
    }
    // each key of A was read by its own field, or there is an issue
    return issues.length > 0 ? Result.fail(issues) : Result.succeed(values as A)
  }
}

/** Nothing there, or null. */
export const isAbsent = ({ node }: At): boolean =>
  node === undefined || (isScalar(node) && (node.value === null || node.value === undefined))

const collect = <I, A>(items: ReadonlyArray<I>, read: (item: I, index: number) => Result.Result<A, Issues>) => {
  const values: Array<A> = []
  const issues: Array<MeshFileIssue> = []
  for (const [index, item] of items.entries()) {
    const result = read(item, index)
    if (Result.isSuccess(result)) values.push(result.success)
    else issues.push(...result.failure)
  }
  return issues.length > 0 ? Result.fail(issues) : Result.succeed(values)
}

const at = (source: Source, node: ParsedNode | null | undefined, offset: number, path: string): At => {
  if (node === null || node === undefined) return { source, node: undefined, offset, path }
  if (!isAlias(node)) return { source, node, offset: node.range[0], path }
  source.aliases += 1
  const target = source.aliases > MAX_ALIASES ? undefined : node.resolve(source.document)
  // what a parsed document's alias stands for was parsed with it; the issue's place stays where the alias is
  return { source, node: (target as ParsedNode | undefined) ?? node, offset: node.range[0], path }
}

const scalar = (place: At): unknown =>
  isScalar(place.node) && tagOf(place) === undefined ? (place.node.value ?? undefined) : undefined

/** `!Prefix`; undefined: none, or one of YAML's own. */
export const tagOf = ({ node }: At): string | undefined =>
  node !== undefined && !isAlias(node) && /^!./.test(node.tag ?? "") ? node.tag : undefined

const given = (place: At): string => {
  const { node, source } = place
  if (isAbsent(place)) return "nothing"
  const tag = tagOf(place)
  if (tag !== undefined) return `a value with the tag ${tag}`
  if (isMap(node)) return "a map"
  if (isSeq(node)) return "a list"
  if (isAlias(node)) return source.aliases > MAX_ALIASES ? `more than ${MAX_ALIASES} aliases` : "an alias of nothing"
  const value = scalar(place)
  const shown = JSON.stringify(value) ?? "nothing"
  return shown.length > 60 ? `${shown.slice(0, 60)}…` : shown
}

const keyText = (key: ParsedNode | null): string => (isScalar(key) ? String(key.value) : "?")

const joined = (path: string, name: string) => (path === "" ? name : `${path}.${name}`)

export const MAX_ALIASES = 100
