import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { encodeDelta, type Item, readDelta, typeUrlOf } from "../../../src/domain/xds/Delta.ts"
import { DeltaDiscoveryResponseSchema } from "../../../src/domain/xds/gen/xds_pb.ts"
import { ADDRESS_TYPE } from "../../../src/domain/xds/Resources.ts"
import { bytes, integer, oneOf, THOROUGH } from "../../support/hostileInput.ts"

/** Items with the bytes of their value in place of where it is. */
const read = (bytes: Uint8Array, typeUrl?: string) =>
  Array.from(readDelta(bytes, typeUrl), (item) => shown(bytes, item))

const shown = (bytes: Uint8Array, item: Item): string => {
  switch (item._tag) {
    case "TypeUrl":
      return `type ${item.typeUrl}`
    case "Resource":
      return `${item.name}@${item.version}=${bytes.subarray(item.start, item.end).join(",")}`
    case "Removed":
      return `removed ${item.name}`
    case "Bad":
      return `bad ${item.name}: ${item.reason}`
  }
}

/** As a control plane writes it: the type behind the resources, with all that weft has no use for. */
const response = (...resources: ReadonlyArray<{ name: string; version?: string; value?: Uint8Array }>) =>
  toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      systemVersionInfo: "v1",
      nonce: "n",
      typeUrl: ADDRESS_TYPE,
      removedResources: ["gone", "gone too"],
      resources: resources.map(({ value, ...rest }) => ({
        ...rest,
        aliases: ["also"],
        ttl: { seconds: 1n },
        cacheControl: { doNotCache: true },
        ...(value === undefined ? {} : { resource: { typeUrl: ADDRESS_TYPE, value } })
      }))
    })
  )

const [A, B] = [Uint8Array.of(1, 2), Uint8Array.of(3)]
const EMPTY = new Uint8Array(0)

const field = (number: number, value: Uint8Array) =>
  new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(value).finish()

const text = (number: number, value: string) => field(number, new TextEncoder().encode(value))

const joined = (...parts: ReadonlyArray<Uint8Array>) => Uint8Array.from(parts.flatMap((part) => Array.from(part)))

describe("a batch of resources", () => {
  it("is read in the order of the wire, what was removed last", () => {
    const bytes = response({ name: "a", version: "7", value: A }, { name: "b", value: EMPTY })
    const items = [`type ${ADDRESS_TYPE}`, "a@7=1,2", "b@=", "removed gone", "removed gone too"]
    assert.deepStrictEqual(read(bytes), items)
    assert.deepStrictEqual(read(bytes, ADDRESS_TYPE), items)
    const mixed = joined(text(6, "x"), field(2, text(3, "c")), text(6, "y"), field(2, text(3, "d")))
    const missing = "XDS payload without resource"
    assert.deepStrictEqual(read(mixed), ["type ", `bad c: ${missing}`, `bad d: ${missing}`, "removed x", "removed y"])
  })

  it("says its type, wherever that stands", () => {
    assert.strictEqual(typeUrlOf(response({ name: "a", value: A })), ADDRESS_TYPE)
    assert.strictEqual(typeUrlOf(joined(text(4, "first"), field(2, EMPTY), text(4, "last"))), "last")
    assert.isUndefined(typeUrlOf(EMPTY))
    assert.isUndefined(typeUrlOf(response({ name: "a", value: A }).subarray(0, -1)))
    assert.deepStrictEqual(read(EMPTY), ["type "])
  })

  it("can be left and gone on with, and is not read ahead when its type is known", () => {
    const bytes = response(...Array.from({ length: 5 }, (_, index) => ({ name: `r${index}`, value: A })))
    const items = readDelta(bytes, ADDRESS_TYPE)
    const first = [items.next(), items.next(), items.next()].map(({ value }) => value && shown(bytes, value))
    assert.deepStrictEqual(first, [`type ${ADDRESS_TYPE}`, "r0@=1,2", "r1@=1,2"])
    // had it been read ahead, this would come too late
    bytes.set([0x66], bytes.lastIndexOf("4".charCodeAt(0)))
    assert.deepStrictEqual(Array.from(items, (item) => shown(bytes, item)).slice(0, 3), [
      "r2@=1,2",
      "r3@=1,2",
      "rf@=1,2"
    ])
  })

  it("has bad resources by their name, and the good ones around them", () => {
    const cutBody = field(2, joined(field(2, Uint8Array.of(0x12, 9, 1)), text(3, "cut")))
    const noName = field(2, Uint8Array.of(0x1a, 200))
    const beyond = field(2, joined(text(3, "beyond"), Uint8Array.of(0x0a, 5)))
    const good = (name: string) => field(2, joined(text(3, name), field(2, field(2, B))))
    const notText = field(2, joined(field(2, field(2, B)), field(3, Uint8Array.of(0xff))))
    const items = read(joined(good("a"), cutBody, good("b"), noName, good("c"), beyond, good("d"), notText, good("e")))
    assert.deepStrictEqual(
      items.filter((item) => !item.startsWith("bad")),
      ["type ", "a@=3", "b@=3", "c@=3", "d@=3", "e@=3"]
    )
    assert.deepStrictEqual(
      items.filter((item) => item.startsWith("bad")).map((item) => item.slice(0, item.indexOf(":", 12))),
      ["bad cut: decode", "bad : decode", "bad beyond: decode", "bad : decode"]
    )
  })

  it("has the last body, fields it does not know are skipped, and so are known ones of another type", () => {
    const number = new BinaryWriter().tag(3, WireType.Varint).uint32(7).tag(9, WireType.Bit32).fixed32(1).finish()
    const resource = joined(field(2, field(2, A)), number, text(3, "a"), field(2, joined(field(2, B), text(8, "x"))))
    assert.deepStrictEqual(read(joined(number, field(2, resource), text(77, "z"))), ["type ", "a@=3"])
  })

  it("of which the frame is broken is not read at all", () => {
    const cut = response({ name: "a", value: A }).subarray(0, -3)
    assert.deepStrictEqual(read(cut), ["bad : decode: premature EOF"])
    assert.deepStrictEqual(read(joined(field(2, EMPTY), Uint8Array.of(0))), [
      "bad : decode: illegal tag: field no 0 wire type 0"
    ])
    assert.deepStrictEqual(read(field(2, text(3, "a")).subarray(0, -1), "t"), ["type t", "bad : decode: premature EOF"])
    assert.deepStrictEqual(read(cut, ADDRESS_TYPE), [`type ${ADDRESS_TYPE}`, "a@=1,2", "bad : decode: premature EOF"])
  })

  it.prop(
    "never throws, and every value lies inside it",
    [bytes()],
    ([bytes]) => {
      for (const typeUrl of [undefined, "t"]) {
        for (const item of readDelta(bytes, typeUrl)) {
          if (item._tag === "Resource")
            assert.isTrue(0 <= item.start && item.start <= item.end && item.end <= bytes.length)
        }
      }
      typeUrlOf(bytes)
    },
    THOROUGH
  )

  it.prop(
    "never throws when a good one is cut or a bit is flipped",
    [integer(0, 1e6), integer(0, 1e6)],
    ([flip, cut]) => {
      const good = response({ name: "a", version: "1", value: A }, { name: "b" }, { name: "c", value: EMPTY })
      const garbled = good.slice()
      garbled[(flip >> 3) % good.length]! ^= 1 << (flip & 7)
      for (const bytes of [garbled, good.subarray(0, cut % good.length)]) read(bytes)
    },
    { arbitrary: { runs: 1000 } }
  )
})

describe("an encoded batch", () => {
  const name = oneOf(["", "a", "ü", "Kubernetes//Pod/shop/web", "x".repeat(300)])
  const resource = Arbitrary.all({ name, version: name, value: bytes({ maxLength: 300 }) })

  it.prop(
    "is a response that says what was put in, in shared memory",
    [name, Arbitrary.array(resource), Arbitrary.array(name)],
    ([typeUrl, resources, removed]) => {
      const batch = encodeDelta(typeUrl, resources, removed)
      assert.instanceOf(batch.buffer, SharedArrayBuffer)
      const message = fromBinary(DeltaDiscoveryResponseSchema, batch)
      assert.strictEqual(message.typeUrl, typeUrl)
      assert.deepStrictEqual(message.removedResources, removed)
      assert.deepStrictEqual(
        message.resources.map(({ name, resource, version }) => ({
          name,
          version,
          value: Uint8Array.from(resource!.value)
        })),
        resources
      )
      assert.deepStrictEqual(read(batch), [
        `type ${typeUrl}`,
        ...resources.map(({ name, value, version }) => `${name}@${version}=${value.join(",")}`),
        ...removed.map((name) => `removed ${name}`)
      ])
    },
    { arbitrary: { runs: 100 } }
  )
})
