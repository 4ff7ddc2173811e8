// Images to vectors: decode, preprocess, run in a shared batch, normalise. Knows no HTTP and no AWS.
import { availableParallelism } from 'node:os';
import type { EncodeResult } from '../../contracts/src/api/encode.ts';
import type { ErrorCode } from '../../contracts/src/api/error.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { CoreError } from '../core/errors.ts';
import { cutAndNormalise, encodeEmbedding, isUnit } from '../core/vectors/vectors.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import { createBatcher } from './batcher.ts';
import { decode } from './pixels/decode.ts';
import { createPreprocess } from './pixels/preprocess.ts';
import type { ImageSession } from './session.ts';

/** One verdict per image, in the same order; a bad image never spoils its neighbours. */
export type Encode = (images: Uint8Array[]) => Promise<EncodeResult[]>;

/** Short compared with the decoding of one photo. */
const WAIT_MS = 5;

/** The returned function may be called by any number of requests at a time. */
export function createEncode(manifest: ModelManifest, session: ImageSession): Encode {
  const preprocess = createPreprocess(manifest.image.preprocess);
  const embed = createBatcher(session, { maxBatch: session.batch, waitMs: WAIT_MS });
  // A decoded photo takes up to 64 MB (16 megapixels of RGBA), so only as many as there are cores are held at a time.
  const decoding = createGate(availableParallelism());

  const encodeOne = async (bytes: Uint8Array): Promise<EncodeResult> => {
    const digest = sha256Of(bytes);
    const failed = (code: ErrorCode, message: string): EncodeResult => ({ status: 'failed', code, message, digest });
    try {
      const { prepared, original, warnings } = await decoding(async () => {
        const picture = await decode(bytes);
        return { ...picture, prepared: preprocess.toTensor(picture) };
      });
      const vector = cutAndNormalise(await embed(prepared), manifest.embed_dim);
      if (!isUnit(vector))
        return failed('non_finite_embedding', 'the image tower gave no finite vector for this image');
      return { status: 'ok', embedding: String(encodeEmbedding(vector, 'base64')), ...original, warnings, digest };
    } catch (error) {
      if (error instanceof CoreError) return failed(error.code, error.message);
      console.error(error);
      return failed('encoder_error', 'the image tower failed on this image; the server log says why');
    }
  };
  return (images) => Promise.all(images.map(encodeOne));
}

/** Runs at most `places` tasks at once, the others in the order they came. */
export function createGate(places: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = places;
  const queue: (() => void)[] = [];
  return async (task) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((enter) => queue.push(enter));
    try {
      return await task();
    } finally {
      const next = queue.shift();
      if (next) next();
      else free += 1;
    }
  };
}
