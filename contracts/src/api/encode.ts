// The image encoder's interface, which the Worker calls: image files in, full-length unit vectors out, one result per image.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { ErrorCode } from './error.ts';

/** Images that the Worker sends in one call; calls of a request run beside each other. */
export const CALL_IMAGES = 8;

export const EncodeRequest = z
  .strictObject({
    space_id: Digest.describe('The space that the caller serves; a request for another one is refused.'),
    images: z.array(z.string().min(1)).min(1).describe('Base64 of whole image files.'),
  })
  .meta({ title: 'EncodeRequest', description: 'Body of POST /encode of the image encoder.' });
export type EncodeRequest = z.infer<typeof EncodeRequest>;

export const EncodeFrame = z
  .strictObject({
    space_id: Digest.describe('The space that the caller serves; a request for another one is refused.'),
    sizes: z.array(z.int().nonnegative()).min(1).describe('Bytes of each file, in the order in which they follow.'),
  })
  .meta({
    title: 'EncodeFrame',
    description:
      'Header of a body of POST /encode that carries files as they are: behind its length as four bytes, big end first, and ' +
      'before the files.',
  });
export type EncodeFrame = z.infer<typeof EncodeFrame>;

export const EncodeStaged = z
  .strictObject({
    space_id: Digest.describe('The space that the caller serves; a request for another one is refused.'),
    staged: z
      .array(Digest)
      .min(1)
      .describe('Files by their digests, which the caller has put into the store of uploads.'),
  })
  .meta({
    title: 'EncodeStaged',
    description: 'Body of POST /encode for files that are larger than what a call to the platform may carry.',
  });
export type EncodeStaged = z.infer<typeof EncodeStaged>;

export const ImageType = z
  .enum(['jpeg', 'png', 'webp', 'gif', 'avif'])
  .meta({ title: 'ImageType', description: 'What kind of file an image is.' });
export type ImageType = z.infer<typeof ImageType>;

export const ImageRoute = z.enum(['lambda_cpu', 'lambda_gpu', 'batch']).meta({
  title: 'ImageRoute',
  description:
    'Who encodes the images of a request. `lambda_cpu` and `lambda_gpu` answer while it waits: a function on processors, for which a ' +
    'process stands in on a machine of its own, and one with a GPU. `batch`: a job that was begun.',
});
export type ImageRoute = z.infer<typeof ImageRoute>;

export const RouteReason = z
  .enum([
    'asked',
    'small',
    'large',
    'deadline',
    'only_one',
    'not_there',
    'no_jobs',
    'other_pauses',
    'other_failed',
    'too_many',
    'all_pause',
    'no_encoder',
  ])
  .meta({
    title: 'RouteReason',
    description:
      'Why that one. `asked`: the header `Prefer` said so. `small`, `large`: by the number of images and their bytes. `deadline`: the ' +
      'processors would not be done in time. `only_one`: there is no other. `not_there`: the one that was asked for is not part of this ' +
      'deployment. `no_jobs`: a job was asked for, and none can be begun by this caller here. `other_pauses`: the other one failed several ' +
      'times and is given a pause. `other_failed`: the other one failed at this request. `too_many`: more images than are encoded while ' +
      'a request waits. `all_pause`, `no_encoder`: each encoder pauses, or there is none, and a job is better than no answer.',
  });
export type RouteReason = z.infer<typeof RouteReason>;

export const RoutingReceipt = z.strictObject({ route: ImageRoute, reason: RouteReason }).meta({
  title: 'RoutingReceipt',
  description: 'Which image encoder a request went to, or that it became a job, and why.',
});
export type RoutingReceipt = z.infer<typeof RoutingReceipt>;

const pixels = z.int().positive();
const digest = Digest.describe('Of the file that this is the result of, so that a result of another one is noticed.');
const EncodedImage = z
  .strictObject({
    status: z.literal('ok').describe('There is an embedding.'),
    embedding: z.string().describe('Base64 of little-endian float32: full length, unit norm.'),
    width: pixels.describe('Width of the image, EXIF orientation applied, in pixels.'),
    height: pixels.describe('Height of the image, EXIF orientation applied, in pixels.'),
    type: ImageType,
    warnings: z.array(z.string()).describe('What was wrong with the file, which was read all the same.'),
    digest,
  })
  .meta({ title: 'EncodedImage', description: 'An image that was encoded.' });
export type EncodedImage = z.infer<typeof EncodedImage>;

const RefusedImage = z
  .strictObject({
    status: z.literal('failed').describe('There is no embedding.'),
    code: ErrorCode,
    message: z.string().describe('A sentence that says why.'),
    digest,
  })
  .meta({ title: 'RefusedImage', description: 'An image that was not encoded, and why.' });
export type RefusedImage = z.infer<typeof RefusedImage>;

export const EncodeResult = z
  .discriminatedUnion('status', [EncodedImage, RefusedImage])
  .meta({ title: 'EncodeResult', description: "An image's embedding, or why there is none." });
export type EncodeResult = z.infer<typeof EncodeResult>;

export const EncodeResponse = z
  .strictObject({
    space_id: Digest.describe('The space of the vectors.'),
    results: z.array(EncodeResult).describe('One result per image, in the order of the request.'),
  })
  .meta({ title: 'EncodeResponse', description: 'Answer of POST /encode of the image encoder.' });
export type EncodeResponse = z.infer<typeof EncodeResponse>;

export const EncoderHealth = z
  .strictObject({
    status: z.literal('ok').describe('The process answers.'),
    model: z.string().describe('Name of the current model.'),
    version: z.string().describe('Its version.'),
    space_id: Digest.describe('Its space.'),
    spaces: z.array(Digest).min(1).describe('Spaces of all models that are open, the current one first.'),
    pending: z
      .strictObject({
        images: z.int().nonnegative().describe('Images that were accepted and are not answered yet.'),
        pixels: z.int().nonnegative().describe('Their pixels.'),
        bytes: z.int().nonnegative().describe('Bytes of request bodies that are held.'),
      })
      .describe('What is under way.'),
  })
  .meta({ title: 'EncoderHealth', description: 'Answer of GET /health of the image encoder.' });
export type EncoderHealth = z.infer<typeof EncoderHealth>;
