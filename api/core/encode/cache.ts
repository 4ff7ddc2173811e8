// The seam of the vector cache, and what a vector is stored under: a digest of all that it follows from.
import type { ImageReceipt } from '../../../contracts/src/api/embed.ts';
import { artefactsIn } from '../../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { textTowers } from '../../../contracts/src/model/towers.ts';
import type { TokenIds } from '../../text/engine.ts';
import type { CoreError } from '../errors.ts';
import type { Tier } from '../model.ts';
import { sha256Hex } from './digest.ts';

/** What was computed of a part. */
export interface Computed {
  /** At unit length and of full length. */
  vector: Float32Array | undefined;
  /** Of an image. */
  picture?: ImageReceipt;
}
/** Undefined where nothing was tried, after another part had failed. */
export type Outcome = Computed | CoreError | undefined;

export interface Cached {
  /** By key. */
  outcomes: Map<string, Outcome>;
  /** Keys that this request did not have to compute. */
  stored: Set<string>;
}
/** `forMs`: how long the computation may take at most; another request that wants the same waits for it until then. */
export interface CacheOptions {
  forMs: number;
  /** Told of waits for a cache elsewhere, and for another request that computes the same. */
  onWait?: (leg: 'cache' | 'shared', ms: number) => void;
}
/** It may forget, and where it fails it computes. Unit vectors are stored, and nothing else is. */
export interface VectorCache {
  through(keys: string[], compute: (missing: string[]) => Promise<Outcome[]>, options: CacheOptions): Promise<Cached>;
}

/** Whatever is stored in another way one day gets another number. */
const FORM = 3;

/** What all keys of a tier's texts share, by manifest: to put it together takes longer than the static tier does for a text. */
const shared = new WeakMap<ModelManifest, Map<Tier, string>>();

/** Of a text with that tier. */
export function textKey(manifest: ModelManifest, tier: Tier, ids: TokenIds): Promise<string> {
  const tiers = shared.get(manifest) ?? new Map<Tier, string>();
  const tower = tiers.get(tier) ?? towerOf(manifest, tier);
  shared.set(manifest, tiers.set(tier, tower));
  return sha256Hex(`${FORM} text ${tier} ${tower} ${ids.join(',')}`);
}

function towerOf(manifest: ModelManifest, tier: Tier): string {
  const { table, graph, partition, static_weight } = textTowers(manifest)[tier] ?? {};
  const isStatic = tier === 'static' || static_weight !== undefined;
  const files = artefactsIn([table, graph, partition, isStatic && manifest.static]);
  return [...files.map(({ digest }) => digest), static_weight ?? ''].join(' ');
}

export async function imageKey({ space_id }: ModelManifest, file: Uint8Array): Promise<string> {
  return sha256Hex(`${FORM} image ${space_id} ${await sha256Hex(file)}`);
}
