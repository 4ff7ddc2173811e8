// The image towers that a host serves, each by the space of its vectors.
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { Encode } from './encode.ts';

export type Tower = { manifest: ModelManifest; encode: Encode };

export type Towers = {
  /** Undefined where no tower is known for that space. */
  find(spaceId: string): Promise<Tower | undefined>;
  /** Of the towers that are open, the current one first. */
  manifests(): [ModelManifest, ...ModelManifest[]];
};

/** One model for ever. */
export function oneTower(tower: Tower): Towers {
  const { manifest } = tower;
  return { find: async (spaceId) => (spaceId === manifest.space_id ? tower : undefined), manifests: () => [manifest] };
}
