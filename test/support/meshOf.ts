/** A real mesh state made of domain values, which go through the encoder as a mesh file's do. */
import type { Mesh } from "../../src/domain/mesh/Mesh.ts"
import { MeshState } from "../../src/domain/mesh/MeshState.ts"
import { serviceKey } from "../../src/domain/mesh/Service.ts"
import { encodePolicy, encodeService, encodeWorkload } from "../../src/domain/xds/Encode.ts"
import { ADDRESS_TYPE, AUTHORIZATION_TYPE } from "../../src/domain/xds/Resources.ts"
import type { Resources } from "./SimpleMesh.ts"

export interface EncodedResource {
  readonly typeUrl: string
  readonly name: string
  readonly bytes: Uint8Array
}

/** Throws on what the state rejects. */
export const meshOf = (resources: Partial<Resources>, nodeName?: string): Mesh => {
  const state = new MeshState({ nodeName })
  for (const each of encoded(resources)) stage(state, each)
  state.commit()
  return state
}

export const stage = (state: MeshState, { bytes, name, typeUrl }: EncodedResource): void => {
  const rejected = state.stage(typeUrl, name, bytes, 0, bytes.length)
  if (rejected !== undefined) throw rejected
}

export const encoded = ({
  policies = [],
  services = [],
  workloads = []
}: Partial<Resources>): Array<EncodedResource> => [
  ...policies.map((each) => ({ typeUrl: AUTHORIZATION_TYPE, name: each.key, bytes: encodePolicy(each) })),
  ...services.map((each) => ({ typeUrl: ADDRESS_TYPE, name: serviceKey(each), bytes: encodeService(each) })),
  ...workloads.map((each) => ({ typeUrl: ADDRESS_TYPE, name: each.uid, bytes: encodeWorkload(each) }))
]
