import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import { ipUnsafe } from "../../../src/domain/Address.ts"
import { parseCidr } from "../../../src/domain/Cidr.ts"
import type { Mesh } from "../../../src/domain/mesh/Mesh.ts"
import { MeshState } from "../../../src/domain/mesh/MeshState.ts"
import { type Service, serviceKey } from "../../../src/domain/mesh/Service.ts"
import type { Workload } from "../../../src/domain/mesh/Workload.ts"
import { encodeService, encodeWorkload } from "../../../src/domain/xds/Encode.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../../../src/domain/xds/Resources.ts"
import { collectGarbage } from "../../support/collectGarbage.ts"
import { behind, policy, service, workload } from "../../support/meshes.ts"
import { encoded, meshOf, stage } from "../../support/meshOf.ts"
import type { Resources } from "../../support/SimpleMesh.ts"

const IP = "10.0.0.1"
const VIP = "10.96.0.1"
const at = (mesh: Mesh, ip = IP, network = "") => mesh.workloadByAddress(network, ipUnsafe(ip))?.name
const vip = (mesh: Mesh, client?: string, ip = VIP, network = "") =>
  mesh.serviceByVip(network, ipUnsafe(ip), client)?.name

const stageAll = (state: MeshState, resources: Partial<Resources>) => {
  for (const each of encoded(resources)) stage(state, each)
}

/** A batch: all of `resources`, then without the workloads and services of these names. */
const commit = (state: MeshState, resources: Partial<Resources>, removed: ReadonlyArray<string> = []) => {
  stageAll(state, resources)
  for (const name of removed) state.remove(ADDRESS_TYPE, name)
  state.commit()
}

const made = (resources: Partial<Resources> = {}, nodeName?: string) => {
  const state = new MeshState({ nodeName })
  commit(state, resources)
  return state
}

const uids = (mesh: Mesh, of: Service) => mesh.endpoints(of).all.map(({ workload }) => workload.uid)

const web = service("web", [VIP])
const a = workload("a", [IP], behind(web))
const b = workload("b", ["10.0.0.2"], behind(web, [[80, 9090]]))

describe("workloads", () => {
  it("are found by uid, by each address on their network, by hostname in their namespace", () => {
    const one = workload("one", [IP, "2001:db8::1"], { network: "net", hostname: "One.example" })
    const mesh = meshOf({ workloads: [one, workload("nameless", [])] })
    assert.deepStrictEqual(mesh.workloadByUid(one.uid), one)
    assert.strictEqual(at(mesh, IP, "net"), "one")
    assert.strictEqual(at(mesh, "2001:db8::1", "net"), "one")
    assert.isUndefined(at(mesh))
    assert.strictEqual(mesh.workloadByHostname("shop", "one.Example.")?.name, "one")
    assert.isUndefined(mesh.workloadByHostname("other", "one.example"))
    assert.isUndefined(mesh.workloadByHostname("shop", ""))
  })

  it("on the host's network are not found by the host's address, but otherwise", () => {
    const agent = workload("agent", [IP], { networkMode: "HostNetwork", ...behind(web) })
    const mesh = meshOf({ workloads: [agent] })
    assert.isUndefined(at(mesh))
    assert.deepStrictEqual(uids(mesh, web), [agent.uid])
  })

  it("that share an address: a pod before another, HBONE before TCP, then the lower uid, whatever came first", () => {
    const worstFirst = [
      workload("plain-entry", [IP], { uid: "plain-entry", protocol: "TCP" }),
      workload("entry", [IP], { uid: "entry" }),
      workload("plain-pod", [IP], { protocol: "TCP" }),
      workload("pod-2", [IP]),
      workload("pod-1", [IP])
    ]
    for (const workloads of [worstFirst, worstFirst.toReversed()]) {
      const state = made({ workloads })
      for (const { name, uid } of worstFirst.toReversed()) {
        assert.strictEqual(at(state), name)
        commit(state, {}, [uid])
      }
      assert.isUndefined(at(state))
    }
  })

  it("leave the addresses that they no longer have to those that still have them", () => {
    const state = made({ workloads: [a, workload("other", [IP])] })
    commit(state, { workloads: [{ ...a, ips: [ipUnsafe("10.0.0.9")] }] })
    assert.strictEqual(at(state), "other")
    assert.strictEqual(at(state, "10.0.0.9"), "a")
  })

  it("are local by name, namespace and service account, and by identity, on this node if it has a name", () => {
    const here = workload("here", [], { serviceAccount: "sa" })
    const there = workload("there", [], { serviceAccount: "sa", node: "n2" })
    const info = { name: "here", namespace: "shop", serviceAccount: "sa" }
    const named = (mesh: Mesh) => mesh.localByIdentity("shop", "sa").map(({ name }) => name)
    const all = { workloads: [there, here] }
    assert.deepStrictEqual(named(meshOf(all)), ["here", "there"])
    assert.deepStrictEqual(named(meshOf(all, "")), ["here", "there"])
    assert.deepStrictEqual(named(meshOf(all, "n1")), ["here"])
    assert.strictEqual(meshOf(all, "n1").localWorkload(info)?.name, "here")
    assert.isUndefined(meshOf(all, "n2").localWorkload(info))
    assert.isUndefined(meshOf(all).localWorkload({ ...info, serviceAccount: "other" }))
    const state = made(all, "n1")
    commit(state, { workloads: [{ ...here, node: "n2" }] })
    assert.isUndefined(state.localWorkload(info))
  })
})

describe("services that share an address or a hostname", () => {
  const shared = { hostname: "shared.example" }
  const first = service("first", [VIP], { ...shared, namespace: "a" })
  const canonical = service("canonical", [VIP], { ...shared, namespace: "b", canonical: true })
  const second = service("second", [VIP], { ...shared, namespace: "c", canonical: true })
  const hidden = service("hidden", [VIP], { ...shared, namespace: "aa", canonical: true, visibility: "Namespace" })
  const services = [first, canonical, second, hidden]

  it("are chosen by namespace, canonical, key; what is not visible is not there", () => {
    for (const order of [services, services.toReversed()]) {
      const mesh = meshOf({ services: order })
      for (const find of [
        (client?: string) => vip(mesh, client),
        (client?: string) => mesh.serviceByHostname("shared.Example.", client)?.name
      ]) {
        assert.strictEqual(find("a"), "first")
        assert.strictEqual(find("c"), "second")
        assert.strictEqual(find("elsewhere"), "canonical")
        assert.strictEqual(find("aa"), "hidden")
        assert.strictEqual(find(undefined), "hidden")
      }
      assert.isUndefined(vip(mesh, "a", VIP, "other"))
    }
    assert.isUndefined(vip(meshOf({ services: [hidden] }), "elsewhere"))
  })

  it("are left alone by the removal of one, of the same namespace too", () => {
    const twin = service("twin", [VIP], { ...shared, namespace: "a", hostname: "twin.example" })
    for (const [gone, left] of [
      [first, "twin"],
      [twin, "first"]
    ] as const) {
      const state = made({ services: [first, twin] })
      assert.strictEqual(vip(state, "a"), "first")
      commit(state, {}, [serviceKey(gone)])
      assert.strictEqual(vip(state, "a"), left)
      assert.strictEqual(vip(state, "elsewhere"), left)
    }
  })

  it("change places when they change their rank, and leave the names that they give up", () => {
    const state = made({ services })
    commit(state, { services: [{ ...canonical, canonical: false }] })
    assert.strictEqual(vip(state, "elsewhere"), "second")
    commit(state, { services: [{ ...hidden, visibility: "Public" }] })
    assert.strictEqual(vip(state, "elsewhere"), "hidden")
    commit(state, { services: [{ ...hidden, vips: [] }] })
    assert.strictEqual(vip(state, "elsewhere"), "second")
    assert.strictEqual(vip(state, "aa"), "second")
    assert.strictEqual(state.serviceByHostname("shared.example", "aa")?.name, "hidden")
  })
})

describe("address ranges", () => {
  const range = (name: string, text: string, rest: Partial<Service> = {}) =>
    service(name, [], { cidrVips: [{ network: "", cidr: parseCidr(text)! }], namespace: name, ...rest })
  const wide = range("wide", "10.0.0.0/8")
  const narrow = range("narrow", "10.96.0.0/16")
  const six = range("six", "2001:db8::/33")
  const everything = range("everything", "0.0.0.0/0")

  it.each<readonly [string, ReadonlyArray<Service>, string | undefined, string, string | undefined]>([
    ["an address inside", [wide], "x", "10.1.2.3", "wide"],
    ["an address outside", [wide], "x", "11.0.0.0", undefined],
    ["its first and last address", [narrow], "x", "10.96.255.255", "narrow"],
    ["just behind it", [narrow], "x", "10.97.0.0", undefined],
    ["an IPv6 address inside", [six], "x", "2001:db8:7fff::1", "six"],
    ["an IPv6 address outside, by one bit", [six], "x", "2001:db8:8000::1", undefined],
    ["an address of the other family", [six, everything], "x", "2002::1", undefined],
    ["every IPv4 address", [six, everything], "x", "192.0.2.1", "everything"],
    ["the narrower one, sent last", [wide, narrow], "x", VIP, "narrow"],
    ["the narrower one, sent first", [narrow, wide], "x", VIP, "narrow"],
    ["a wider one of the client's own namespace", [narrow, wide], "wide", VIP, "wide"],
    ["the narrowest, when no client is known", [narrow, wide], undefined, VIP, "narrow"],
    ["the exact address before any range", [range("own", "10.96.0.1/31"), web], "own", VIP, "web"],
    ["the canonical one of equals", [narrow, range("zz", "10.96.0.0/16", { canonical: true })], "x", VIP, "zz"],
    ["the lower key of equals", [range("zz", "10.96.0.0/16"), narrow], "x", VIP, "narrow"],
    ["own namespace, of equals", [range("zz", "10.96.0.0/16"), narrow], "zz", VIP, "zz"],
    ["a hidden one: not there", [wide, range("hid", "10.96.0.0/24", { visibility: "Namespace" })], "x", VIP, "wide"],
    [
      "a hidden one: its own namespace",
      [wide, range("hid", "10.96.0.0/24", { visibility: "Namespace" })],
      "hid",
      VIP,
      "hid"
    ],
    ["a range under an exact address that is hidden", [wide, { ...web, visibility: "Namespace" }], "x", VIP, "wide"]
  ])("%s", (_, services, client, ip, found) => {
    assert.strictEqual(vip(meshOf({ services }), client, ip), found)
    assert.strictEqual(vip(meshOf({ services: services.toReversed() }), client, ip), found)
    assert.isUndefined(vip(meshOf({ services: [] }), client, ip))
    assert.isUndefined(vip(meshOf({ services }), client, ip, "other"))
  })

  it("are gone with their service, once it has them no more, and not with another's", () => {
    const twice = { ...narrow, cidrVips: [...narrow.cidrVips, { network: "", cidr: parseCidr("10.96.3.4/16")! }] }
    const state = made({ services: [twice, range("other", "10.96.0.0/16")] })
    commit(state, { services: [{ ...narrow, cidrVips: [] }] })
    assert.strictEqual(vip(state), "other")
    commit(state, { services: [narrow] }, ["other/other.shop.svc.cluster.local"])
    assert.strictEqual(vip(state), "narrow")
    commit(state, {}, [serviceKey(narrow)])
    assert.isUndefined(vip(state))
  })

  it("lead to the service as it is now, however often its endpoints change", () => {
    const state = made({ services: [narrow] })
    for (const name of ["a", "b", "c"]) commit(state, { workloads: [workload(name, [], behind(narrow))] })
    const found = state.serviceByVip("", ipUnsafe(VIP), "x")!
    assert.lengthOf(uids(state, found), 3)
  })
})

describe("endpoints", () => {
  const sick: Workload = { ...b, status: "Unhealthy" }

  it("are those of the service whichever came first, in one batch or in several", () => {
    for (const batches of [
      [{ services: [web] }, { workloads: [b, a] }],
      [{ workloads: [b] }, { services: [web] }, { workloads: [a] }],
      [{ workloads: [a, b] }, { services: [web] }],
      [{ services: [web], workloads: [b, a] }]
    ]) {
      const state = new MeshState()
      for (const batch of batches) commit(state, batch)
      assert.deepStrictEqual(uids(state, web), [a.uid, b.uid])
      assert.deepStrictEqual(state.endpoints(web).all[1]?.ports, new Map([[80, 9090]]))
      assert.deepStrictEqual(state.endpointPorts(web, b), new Map([[80, 9090]]))
      assert.deepStrictEqual(state.servicesOf(b).map(serviceKey), [serviceKey(web)])
    }
  })

  it("are there, healthy or not, and again when their service comes back", () => {
    const state = made({ services: [web], workloads: [a, sick] })
    assert.deepStrictEqual(
      state.endpoints(web).all.map(({ workload }) => workload.status),
      ["Healthy", "Unhealthy"]
    )
    commit(state, {}, [serviceKey(web)])
    assert.isUndefined(vip(state))
    assert.deepStrictEqual(state.servicesOf(a), [])
    commit(state, { services: [web] })
    assert.deepStrictEqual(uids(state, web), [a.uid, b.uid])
    assert.deepStrictEqual(state.servicesOf(a).map(serviceKey), [serviceKey(web)])
  })

  it("are gone with their workload, and when it no longer names the service", () => {
    const state = made({ services: [web], workloads: [a, b] })
    commit(state, { workloads: [{ ...a, services: new Map() }] })
    assert.deepStrictEqual(uids(state, web), [b.uid])
    assert.isUndefined(state.endpointPorts(web, a))
    commit(state, {}, [b.uid])
    assert.deepStrictEqual(uids(state, web), [])
  })

  it("follow the last of several changes to one workload in a batch", () => {
    const state = made({ workloads: [a] })
    commit(state, { workloads: [{ ...a, capacity: 7 }] }, [a.uid])
    assert.deepStrictEqual(uids(state, web), [])
    assert.isUndefined(state.workloadByUid(a.uid))
    state.remove(ADDRESS_TYPE, a.uid)
    stageAll(state, { workloads: [a] })
    stageAll(state, { workloads: [{ ...a, services: new Map() }] })
    stageAll(state, { workloads: [{ ...a, ...behind(web, [[80, 1]]) }] })
    state.commit()
    assert.deepStrictEqual(state.endpoints(web).all[0]?.ports, new Map([[80, 1]]))
    assert.lengthOf(state.endpoints(web).all, 1)
  })

  it("may be thousands that come in one batch, and one that changes later", () => {
    const many = Array.from({ length: 4_000 }, (_, index) => workload(`w${index}`, [], behind(web)))
    const state = made({ workloads: many })
    const before = state.endpoints(web)
    assert.deepStrictEqual(uids(state, web), many.map(({ uid }) => uid).sort())
    commit(state, { workloads: [{ ...many[2_000]!, capacity: 9 }] })
    const after = state.endpoints(web)
    assert.lengthOf(before.all, 4_000)
    assert.lengthOf(after.all, 4_000)
    const changed = after.all.filter((endpoint, index) => endpoint !== before.all[index])
    assert.deepStrictEqual(
      changed.map(({ workload }) => [workload.uid, workload.capacity]),
      [[many[2_000]!.uid, 9]]
    )
  })

  it("of workloads in one place share it, and equal ports are one", () => {
    const [one, two] = made({ workloads: [b, { ...b, uid: "other" }] }).endpoints(web).all
    assert.strictEqual(one!.workload.place, two!.workload.place)
    assert.strictEqual(one!.ports, two!.ports)
  })
})

describe("a batch", () => {
  const next: Partial<Resources> = {
    workloads: [{ ...a, ips: [ipUnsafe("10.0.0.3")] }, b],
    services: [{ ...web, vips: [{ network: "", ip: ipUnsafe("10.96.0.2") }] }],
    policies: [policy("p")]
  }
  const seen = (mesh: Mesh) => ({
    old: [at(mesh), vip(mesh)],
    new: [at(mesh, "10.0.0.2"), at(mesh, "10.0.0.3"), vip(mesh, undefined, "10.96.0.2")],
    endpoints: mesh.endpoints(web),
    policies: mesh.policiesOf(a),
    policy: mesh.policyByKey("shop/p")?.name
  })

  it("is not seen before its commit, is seen at once by it, and is seen the same at every step of its merge", () => {
    const state = made({ workloads: [a], services: [web] })
    state.merge(() => true)
    const before = seen(state)
    stageAll(state, next)
    assert.deepStrictEqual(seen(state), before)
    assert.deepStrictEqual(before.new, [undefined, undefined, undefined])
    state.commit()
    const after = seen(state)
    assert.deepStrictEqual(after.old, [undefined, undefined])
    assert.deepStrictEqual(after.new, ["b", "a", "web"])
    assert.strictEqual(after.policy, "p")
    let steps = 0
    for (let done = false; !done; steps += 1) {
      let once = 1
      done = state.merge(() => once-- > 0)
      const now = seen(state)
      assert.deepStrictEqual(now, after)
      assert.strictEqual(now.endpoints, after.endpoints)
      assert.strictEqual(now.policies, after.policies)
    }
    assert.isAbove(steps, 10)
    assert.isTrue(state.merge(() => false))
  })

  it("may be staged and committed while the one before is being merged", () => {
    const state = made({ workloads: [a], services: [web] })
    commit(state, next)
    state.merge(() => false)
    commit(state, {}, [b.uid])
    assert.deepStrictEqual(seen(state).new, [undefined, "a", "web"])
    assert.deepStrictEqual(state.size, { workloads: 1, services: 1, policies: 1 })
  })

  it("of which nothing can be read changes nothing, and says why", () => {
    const state = made({ workloads: [a], policies: [policy("p")] })
    const bad = Uint8Array.of(1, 2, 3)
    assert.isDefined(state.stage(ADDRESS_TYPE, a.uid, bad, 0, 3)?.reason)
    assert.isDefined(state.stage(AUTHORIZATION_TYPE, "shop/p", bad, 0, 3)?.reason)
    assert.include(state.stage("type.example/Unheard", "x", bad, 0, 3)?.reason, "type.example/Unheard")
    state.commit()
    assert.strictEqual(at(state), "a")
    assert.isDefined(state.policyByKey("shop/p"))
  })
})

describe("names", () => {
  it("of resources are their own: uid, namespace and hostname", () => {
    const state = new MeshState()
    for (const [name, bytes] of [
      ["elsewhere", encodeWorkload(a)],
      ["nowhere", encodeService(web)]
    ] as const) {
      assert.isUndefined(state.stage(ADDRESS_TYPE, name, bytes, 0, bytes.length))
    }
    state.commit()
    commit(state, {}, ["elsewhere", "nowhere", "a/b/c", "neither"])
    assert.deepStrictEqual(state.size, { workloads: 1, services: 1, policies: 0 })
    commit(state, {}, [a.uid, serviceKey(web)])
    assert.deepStrictEqual(state.size, { workloads: 0, services: 0, policies: 0 })
  })

  it("that are removed: a workload's uid before a service's key", () => {
    const state = made({ workloads: [{ ...a, uid: serviceKey(web) }], services: [web] })
    commit(state, {}, [serviceKey(web)])
    assert.deepStrictEqual(state.size, { workloads: 0, services: 1, policies: 0 })
  })

  it("of all that is held come with their bytes", () => {
    const resources = { workloads: [a, b], services: [web], policies: [policy("p")] }
    const state = made({ ...resources, workloads: [a, { ...b, name: "earlier" }] })
    commit(state, { workloads: [b] })
    const held = (state: MeshState) =>
      Array.from(state.entries(), ({ chunk, end, name, start, typeUrl }) => [typeUrl, name, chunk.slice(start, end)])
    const expected = encoded(resources).map(({ bytes, name, typeUrl }) => [typeUrl, name, bytes])
    assert.sameDeepMembers(held(state), expected)
    state.merge(() => true)
    assert.sameDeepMembers(held(state), expected)
  })
})

describe("what does not change stays the same object", () => {
  const resources = { workloads: [a, b], services: [web], policies: [policy("p"), policy("q", { scope: "Global" })] }
  const objects = (mesh: Mesh) => [
    mesh.workloadByUid(a.uid),
    mesh.serviceByKey(serviceKey(web)),
    mesh.endpoints(web),
    mesh.policyByKey("shop/p"),
    mesh.policiesOf(mesh.workloadByUid(a.uid)!)
  ]

  it("when it is sent again, and no longer holds the bytes that were sent before", () => {
    const state = made(resources)
    const before = objects(state)
    const chunks = new Set(Array.from(state.entries(), ({ chunk }) => chunk))
    commit(state, resources)
    state.merge(() => true)
    for (const [index, object] of objects(state).entries()) assert.strictEqual(object, before[index])
    assert.isFalse(Array.from(state.entries()).some(({ chunk }) => chunks.has(chunk)))
  })

  it("until it is replaced: then nothing holds the bytes, nor what was decoded from them", async () => {
    const state = made({ workloads: [a] })
    const held = (() => {
      const [entry] = state.entries()
      return [new WeakRef(entry!.chunk), new WeakRef(state.workloadByUid(a.uid)!)]
    })()
    commit(state, { workloads: [{ ...a, name: "renamed" }] })
    state.merge(() => true)
    // a WeakRef holds what it refers to until the turn ends in which it was made
    await setImmediate()
    collectGarbage()
    assert.deepStrictEqual(
      held.map((each) => each.deref()),
      [undefined, undefined]
    )
  })

  it("when what balancing does not ask of a workload changes", () => {
    const state = made(resources)
    const before = state.endpoints(web)
    commit(state, { workloads: [{ ...a, canonicalRevision: "v2", authorizationPolicies: ["shop/p"] }] })
    assert.strictEqual(state.endpoints(web), before)
    assert.strictEqual(state.workloadByUid(a.uid)?.canonicalRevision, "v2")
    assert.strictEqual(state.workloadByAddress("", ipUnsafe(IP))?.canonicalRevision, "v2")
  })

  it.each<readonly [string, Partial<Workload>]>([
    ["health", { status: "Unhealthy" }],
    ["capacity", { capacity: 3 }],
    ["zone", { locality: { region: "", zone: "z", subzone: "" } }],
    ["ports", behind(web, [[80, 1]])],
    ["addresses", { ips: [] }]
  ])("but not endpoints when the %s of one changes", (_, change) => {
    const state = made(resources)
    const before = state.endpoints(web)
    commit(state, { workloads: [{ ...a, ...change }] })
    assert.notStrictEqual(state.endpoints(web), before)
    assert.strictEqual(state.endpoints(web).all[1], before.all[1])
  })
})

describe("policies", () => {
  const everywhere = policy("z", { namespace: "root", scope: "Global", action: "Deny" })
  const attached = policy("s", { scope: "WorkloadSelector" })
  const quiet = policy("quiet", { dryRun: true })
  const policies = [quiet, policy("p"), everywhere, attached, policy("p", { namespace: "other" })]
  const keys = (mesh: Mesh, names: ReadonlyArray<string> = []) => {
    const found = mesh.policiesOf(workload("x", [], { authorizationPolicies: names }))
    return Object.values({ ...found, missing: [] }).flatMap((all) => all.map(({ key }) => key))
  }

  it("apply by namespace, to all, and by name, each once, in the order of keys", () => {
    const mesh = meshOf({ policies })
    assert.deepStrictEqual(keys(mesh), ["root/z", "shop/quiet", "shop/p"])
    const named = workload("x", [], { authorizationPolicies: ["shop/s", "shop/p", "gone/b", "gone/a", "gone/b"] })
    const found = mesh.policiesOf(named)
    assert.deepStrictEqual(
      found.allow.map(({ key }) => key),
      ["shop/p", "shop/s"]
    )
    assert.deepStrictEqual(found.missing, ["gone/b", "gone/a"])
    assert.deepStrictEqual(
      found.deny.map(({ key }) => key),
      ["root/z"]
    )
    assert.deepStrictEqual(
      found.dryRunAllow.map(({ key }) => key),
      ["shop/quiet"]
    )
    assert.deepStrictEqual(found.dryRunDeny, [])
  })

  it("leave the scope that they had when they change it", () => {
    const state = made({ policies })
    commit(state, {
      policies: [
        { ...policy("p"), scope: "WorkloadSelector" },
        { ...everywhere, scope: "Namespace" }
      ]
    })
    assert.deepStrictEqual(keys(state), ["shop/quiet"])
    assert.deepStrictEqual(keys(state, ["shop/p"]), ["shop/quiet", "shop/p"])
    state.remove(AUTHORIZATION_TYPE, "shop/quiet")
    state.remove(AUTHORIZATION_TYPE, "shop/unheard-of")
    state.commit()
    assert.deepStrictEqual(keys(state), [])
  })

  it("are the same object for whom nothing changed, and another for whom something did", () => {
    const state = made({ policies })
    const here = workload("x", [])
    const there = workload("y", [], { namespace: "other" })
    const waiting = workload("w", [], { namespace: "other", authorizationPolicies: ["shop/new"] })
    const before = [here, there, waiting].map((each) => state.policiesOf(each))
    assert.strictEqual(state.policiesOf({ ...here, uid: "twin" }), before[0])
    commit(state, { policies: [policy("new")], workloads: [a] })
    assert.notStrictEqual(state.policiesOf(here), before[0])
    assert.strictEqual(state.policiesOf(there), before[1])
    assert.notStrictEqual(state.policiesOf(waiting), before[2])
    assert.deepStrictEqual(state.policiesOf(waiting).missing, [])
  })
})
