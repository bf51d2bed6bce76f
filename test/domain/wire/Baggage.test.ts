import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { type Baggage, baggageOf, formatBaggage, parseBaggage } from "../../../src/domain/wire/Baggage.ts"
import { anyText, mutated, oneOf, textOf, THOROUGH } from "../../support/hostileInput.ts"

const fieldsOf = (text: Arbitrary.Arbitrary<string | undefined>): Arbitrary.Arbitrary<Baggage> =>
  Arbitrary.map(
    Arbitrary.all({
      clusterName: text,
      namespace: text,
      workloadType: oneOf(["deployment", "cronjob", "pod", "job"]),
      workloadName: text,
      serviceName: text,
      serviceVersion: text,
      region: text,
      zone: text
    }),
    // a type travels in the key of the name
    (baggage) => (baggage.workloadName === undefined ? { ...baggage, workloadType: undefined } : baggage)
  )

const safe = fieldsOf(
  Arbitrary.map(textOf("azAZ09-._/:;%\"'~!", { maxLength: 8 }), (text) => (text === "" ? undefined : text))
)
const unsafe = fieldsOf(anyText)

const defined = (baggage: Baggage) =>
  Object.fromEntries(Object.entries(baggage).filter(([, value]) => value !== undefined))

const CLIENT = {
  clusterName: "Kubernetes",
  namespace: "prod",
  workloadType: "job",
  workloadName: "batch",
  serviceName: "batch"
}

describe("baggage", () => {
  it.prop(
    "is read back as it was written",
    [safe],
    ([baggage]) => {
      assert.deepStrictEqual(defined(parseBaggage([formatBaggage(baggage)])), defined(baggage))
    },
    THOROUGH
  )

  it.prop(
    "never reads as something that was not meant, whatever the values",
    [unsafe],
    ([baggage]) => {
      const text = formatBaggage(baggage)
      assert.match(text, /^[!-~]*$/)
      const read = defined(parseBaggage([text]))
      for (const [key, value] of Object.entries(read)) assert.strictEqual(value, baggage[key as keyof Baggage])
    },
    THOROUGH
  )

  it.prop(
    "survives anything",
    [Arbitrary.array(anyText)],
    ([lines]) => {
      for (const value of Object.values(defined(parseBaggage(lines)))) assert.match(value ?? "", /^[\t -~]+$/)
    },
    THOROUGH
  )

  it.prop(
    "survives mutated headers",
    [mutated(Arbitrary.map(safe, formatBaggage))],
    ([text]) => {
      assert.doesNotThrow(() => parseBaggage([text]))
    },
    THOROUGH
  )

  it("names a workload in ztunnel's order, without what is empty", () => {
    const workload = {
      clusterId: "Kubernetes",
      namespace: "prod",
      workloadType: "cronjob",
      workloadName: "nightly",
      canonicalName: "nightly",
      canonicalRevision: "v2",
      locality: { region: "eu", zone: "eu-1", subzone: "rack" }
    } as Workload // the rest of a workload is not looked at
    assert.strictEqual(
      baggageOf(workload),
      "k8s.cluster.name=Kubernetes,k8s.namespace.name=prod,k8s.cronjob.name=nightly,service.name=nightly,service.version=v2,cloud.region=eu,cloud.availability_zone=eu-1"
    )
    assert.strictEqual(
      baggageOf({
        ...workload,
        workloadType: "",
        canonicalRevision: "",
        locality: { region: "", zone: "", subzone: "" }
      }),
      "k8s.cluster.name=Kubernetes,k8s.namespace.name=prod,k8s.deployment.name=nightly,service.name=nightly"
    )
  })

  it("leaves out values that would change the list", () => {
    assert.strictEqual(
      formatBaggage({ clusterName: "a,service.name=evil", namespace: "a=b", region: "e u", zone: "é" }),
      ""
    )
  })

  it("merges lines, the last wins, empty takes back, a second = ends the value", () => {
    const header = formatBaggage(CLIENT)
    assert.deepStrictEqual(defined(parseBaggage([header, "service.name=other,cloud.region=eu"])), {
      ...CLIENT,
      serviceName: "other",
      region: "eu"
    })
    assert.deepStrictEqual(defined(parseBaggage([`${header},service.name=,k8s.job.name=`])), {
      clusterName: "Kubernetes",
      namespace: "prod"
    })
    assert.deepStrictEqual(defined(parseBaggage(["service.name=a=b"])), { serviceName: "a" })
    assert.deepStrictEqual(defined(parseBaggage(["k8s.pod.name=p,k8s.job.name=j"])), {
      workloadType: "job",
      workloadName: "j"
    })
  })

  it("reads lines that were joined by a comma and a space", () => {
    assert.deepStrictEqual(defined(parseBaggage(["k8s.namespace.name=a, service.name=b"])), {
      namespace: "a",
      serviceName: "b"
    })
  })

  it("is empty when absent, unknown or not printable", () => {
    const headers = [
      [],
      [""],
      [","],
      ["="],
      ["service.name"],
      ["__proto__=x,k8s.statefulset.name=y,Service.Name=z"],
      ["service.name=a", "é"]
    ]
    for (const lines of headers) assert.deepStrictEqual(defined(parseBaggage(lines)), {}, JSON.stringify(lines))
  })
})
