// Results of the image encoder where a test has no encoder.
import type { EncodedFile } from '../../api/core/embed.ts';
import type { EncodedImage, RefusedImage } from '../../contracts/src/api/encode.ts';

/** What the encoder's client gives the core. */
export function encodedFile(vector: Float32Array, more: Partial<EncodedFile> = {}): EncodedFile {
  return { vector, width: 5, height: 5, type: 'gif', warnings: [], ...more };
}

const NONE = `sha256:${'0'.repeat(64)}`;

export function encodedImage(embedding: string, more: Partial<EncodedImage> = {}): EncodedImage {
  return { status: 'ok', embedding, width: 5, height: 5, type: 'gif', warnings: [], digest: NONE, ...more };
}

export function refusedImage({ code, message }: Pick<RefusedImage, 'code' | 'message'>): RefusedImage {
  return { status: 'failed', code, message, digest: NONE };
}
