// The entity tag of an answer: a digest of all that it follows from, so that it is known before anything is computed.
// https://www.rfc-editor.org/rfc/rfc9110#name-etag
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { sha256Hex } from '../../core/encode/digest.ts';

/** Whatever an answer follows from. */
export interface Origin {
  operation: string;
  /** The id that answers: of a model's tiers, one. */
  model: string;
  manifest: ModelManifest;
  /** Of this service. */
  version: string;
  /** What was asked, images as bytes. */
  asked: object;
}

/** Two requests that mean the same have the same tag: neither the order of keys nor absent ones written as null count. */
export async function etagOf({ operation, model, manifest, version, asked }: Origin): Promise<string> {
  const images: Uint8Array[] = [];
  const request = canonical(asked, images);
  const digests: string[] = [];
  for (const image of images) digests.push(await sha256Hex(image));
  const parts = [operation, version, model, await identityOf(manifest), request, ...digests];
  return `"${await sha256Hex(JSON.stringify(parts))}"`;
}

/**
 * JSON with sorted keys and without nulls; an image is its place in `images`. Undefined: the value is not there. Not by
 * JSON.stringify with a function, which takes several times as long as the vector of a static text.
 */
function canonical(value: unknown, images: Uint8Array[]): string | undefined {
  if (value === null) return undefined;
  if (typeof value !== 'object') return JSON.stringify(value);
  if (value instanceof Uint8Array) return `"bytes ${images.push(value)}"`;
  if (Array.isArray(value)) {
    if (typeof value[0] === 'number') return `"${value.join()}"`;
    return `[${value.map((entry) => canonical(entry, images) ?? 'null').join()}]`;
  }
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const written = canonical(Reflect.get(value, key), images);
    if (written !== undefined) members.push(`${JSON.stringify(key)}:${written}`);
  }
  return `{${members.join()}}`;
}

/** Values, not promises: requests share them. */
const identities = new WeakMap<ModelManifest, string>();

/** The manifest has the digests of all files, the calibration and the space. */
async function identityOf(manifest: ModelManifest): Promise<string> {
  const known = identities.get(manifest);
  if (known !== undefined) return known;
  // No answer follows from vectors that it is checked with, and they are most of it.
  const { golden: _, ...rest } = manifest;
  const identity = await sha256Hex(JSON.stringify(rest));
  identities.set(manifest, identity);
  return identity;
}
