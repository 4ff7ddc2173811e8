// The seam of the vector cache, and what a vector is stored under: a digest of all that it follows from.
import type { ImageReceipt } from '../../../contracts/src/api/embed.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { TokenIds } from '../../text/engine.ts';
import type { CoreError } from '../errors.ts';
import type { Tier } from '../model.ts';

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

// Both runtimes have these of the web; this box sees neither runtime's types.
declare const crypto: { subtle: { digest(algorithm: 'SHA-256', bytes: Uint8Array): Promise<ArrayBuffer> } };
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

/** Whatever is stored in another way one day gets another number. */
const FORM = 1;

export function textKey({ text, static: table }: ModelManifest, tier: Tier, ids: TokenIds): Promise<string> {
  const { graph, partition } = text;
  const parts = [text.table.file, graph.file, graph.weights?.file, partition?.file].flatMap(
    (file) => file?.digest ?? [],
  );
  const tower = tier === 'static' ? [table.table.file.digest] : parts;
  return digestOf(`${FORM} text ${tier} ${tower.join(' ')} ${ids.join(',')}`);
}

/** The space is a digest over the image tower and its preprocessing. */
export function imageKey({ space_id }: ModelManifest, file: Uint8Array): Promise<string> {
  return digestOf(`${FORM} image ${space_id} `, file);
}

async function digestOf(text: string, rest: Uint8Array = new Uint8Array()): Promise<string> {
  const head = new TextEncoder().encode(text);
  const bytes = new Uint8Array(head.length + rest.length);
  bytes.set(head);
  bytes.set(rest, head.length);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
