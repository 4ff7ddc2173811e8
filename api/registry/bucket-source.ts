// A model registry in a bucket, as its readers see it: the pointer, releases, manifests and files, checked by digest.
import { artefactKey, currentKey, manifestKey, releaseKey } from '../../contracts/src/keys.ts';
import { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { ModelRelease } from '../../contracts/src/model/release.ts';
import type { ModelSource } from '../worker/model-provider.ts';
import { sha256 } from './digest.ts';

/** What is asked of an R2 bucket. */
export interface Bucket {
  get(key: string): Promise<{ size: number; arrayBuffer(): Promise<ArrayBuffer>; text(): Promise<string> } | null>;
}

/** Undefined where nothing was ever published under that name. */
export async function readPointer(bucket: Bucket, name: string): Promise<ModelPointer | undefined> {
  const object = await bucket.get(currentKey(name));
  return object ? ModelPointer.parse(JSON.parse(await object.text())) : undefined;
}

export async function readRelease(bucket: Bucket, digest: string): Promise<ModelRelease> {
  return ModelRelease.parse(await readDocument(bucket, releaseKey(digest), digest));
}

export function bucketSource(bucket: Bucket, manifest: string): ModelSource {
  return {
    manifest: () => readDocument(bucket, manifestKey(manifest), manifest),
    async read({ path, digest, size }) {
      const object = await found(bucket, artefactKey(digest));
      // Asked first: a file of another size is not worth its transfer, nor the memory.
      if (object.size !== size) throw new Error(`${path} has ${object.size} bytes, its manifest says ${size}`);
      return object.arrayBuffer();
    },
  };
}

async function readDocument(bucket: Bucket, key: string, digest: string): Promise<unknown> {
  const bytes = await (await found(bucket, key)).arrayBuffer();
  const is = await sha256(bytes);
  if (is !== digest) throw new Error(`${key} is not what its name says: its digest is ${is}`);
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function found(bucket: Bucket, key: string) {
  const object = await bucket.get(key);
  if (!object) throw new Error(`the registry holds no ${key}`);
  return object;
}
