// What the Worker asks of the image encoder: image files in, full-length unit vectors out, one verdict an image.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { ErrorCode } from './error.ts';

/** `images`: base64 of whole files. `space_id`: the space the caller serves; another one is refused. */
export const EncodeRequest = z.strictObject({
  space_id: Digest,
  images: z.array(z.string().min(1)).min(1),
});
export type EncodeRequest = z.infer<typeof EncodeRequest>;

/** An image's embedding (base64 of little-endian float32, full length, unit norm) or why there is none. */
export const EncodeResult = z.discriminatedUnion('status', [
  z.strictObject({
    status: z.literal('ok'),
    embedding: z.string(),
    width: z.int().positive(),
    height: z.int().positive(),
  }),
  z.strictObject({ status: z.literal('failed'), code: ErrorCode, message: z.string() }),
]);
export type EncodeResult = z.infer<typeof EncodeResult>;

export const EncodeResponse = z.strictObject({ space_id: Digest, results: z.array(EncodeResult) });
export type EncodeResponse = z.infer<typeof EncodeResponse>;
