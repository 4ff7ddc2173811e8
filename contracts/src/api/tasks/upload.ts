// POST /v1/uploads: where a client may put an image file by itself, instead of sending it in a request.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { LIMITS } from '../limits.ts';

/** Begins what a request writes in the place of an image that was uploaded. */
export const UPLOAD_SCHEME = 'upload:';

export const UploadRequest = z
  .strictObject({
    digest: Digest.describe('SHA-256 of the file: what arrives is compared with it, and the same file is stored once.'),
    bytes: z.int().min(1).max(LIMITS.image_bytes).describe('Size of the file: what arrives has to have it.'),
  })
  .meta({ title: 'UploadRequest', description: 'Body of POST /v1/uploads: the file that is about to be put.' });
export type UploadRequest = z.infer<typeof UploadRequest>;

export const UploadResponse = z
  .strictObject({
    object: z.literal('upload').describe('Name of this form.'),
    image: z.string().describe('What a request to POST /embed writes as `image` once the file is there.'),
    uri: z.string().describe('Where the file will be, for programs that read the store themselves.'),
    method: z.literal('PUT').describe('How the file is sent.'),
    url: z.url().describe('Where it is sent to; nothing else may be done with this address.'),
    headers: z.record(z.string(), z.string()).describe('Headers that have to be sent with it.'),
    expires_at: z.iso.datetime().describe('Until when the address holds.'),
  })
  .meta({ title: 'UploadResponse', description: 'Answer of POST /v1/uploads: where the file may be put.' });
export type UploadResponse = z.infer<typeof UploadResponse>;
