// Files as documents name them: by digest.
import { createHash } from 'node:crypto';
import { Artefact } from '../../contracts/src/model/artefact.ts';

/** Every descriptor in a document, wherever it stands. */
export function artefactsIn(value: unknown): Artefact[] {
  const artefact = Artefact.safeParse(value);
  if (artefact.success) return [artefact.data];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(artefactsIn) : [];
}

/** `sha256:` and the hexadecimal digest of bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
