// The image towers that a host serves, each by the space of its vectors.
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { Encode } from './encode.ts';

export interface Tower {
  manifest: ModelManifest;
  encode: Encode;
}

export interface Towers {
  /** Undefined where no tower is known for that space. */
  find(spaceId: string): Promise<Tower | undefined>;
  /** Of the towers that are open, the current one first. */
  manifests(): [ModelManifest, ...ModelManifest[]];
}

/** The tower of a model that never changes. */
export function singleTower(tower: Tower): Towers {
  const { manifest } = tower;
  return { find: async (spaceId) => (spaceId === manifest.space_id ? tower : undefined), manifests: () => [manifest] };
}
