// SHA-256 of what is too large for memory, and of what is needed at once: Node's own hash under the registry's form of a digest.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import { toDigest } from '../digest.ts';
import { notItsName } from '../read.ts';

export function sha256Of(content: Uint8Array | string): string {
  return toDigest(createHash('sha256').update(content).digest());
}

export async function digestOfStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of stream) hash.update(part);
  return toDigest(hash.digest());
}

export function digestOfFile(path: string): Promise<string> {
  return digestOfStream(createReadStream(path));
}

/** The same bytes. Throws a RegistryError at their end where they are not those that the descriptor names. */
export async function* verifying(
  stream: AsyncIterable<Uint8Array>,
  { path, digest, size }: Artefact,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const part of stream) {
    hash.update(part);
    bytes += part.byteLength;
    yield part;
  }
  const found = toDigest(hash.digest());
  if (found !== digest || bytes !== size) throw notItsName(`${path} has ${bytes} bytes of ${size}: it`, found);
}
