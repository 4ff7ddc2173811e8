// A shard of a bulk job: JSON lines of images in, JSON lines of embeddings and of errors out.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { ErrorCode } from './error.ts';

const Name = z.strictObject({ custom_id: z.string().min(1).max(512) });

/** One input line: `image` is base64 or a data URI, `path` a file relative to the input folder. */
export const BulkLine = z.union([Name.extend({ image: z.string().min(1) }), Name.extend({ path: z.string().min(1) })]);
export type BulkLine = z.infer<typeof BulkLine>;

/** One output line: `line` counts the input's lines from 0, `embedding` is base64 of little-endian float32, unit norm. */
export const BulkResult = z.strictObject({
  line: z.int().nonnegative(),
  custom_id: z.string(),
  embedding: z.string(),
  width: z.int().positive(),
  height: z.int().positive(),
});
export type BulkResult = z.infer<typeof BulkResult>;

/** `custom_id` is null where the line itself could not be read. */
export const BulkError = z.strictObject({
  line: z.int().nonnegative(),
  custom_id: z.string().nullable(),
  code: ErrorCode,
  message: z.string(),
});
export type BulkError = z.infer<typeof BulkError>;

/** What a shard's output is made of; written first without counts, so that a rerun knows whether to continue. */
export const BulkShard = z.strictObject({
  shard: z.int().nonnegative(),
  input: Digest,
  space_id: Digest,
});
export type BulkShard = z.infer<typeof BulkShard>;

/** Written last: its presence means that the shard is finished. */
export const BulkDone = BulkShard.extend({
  lines: z.int().nonnegative(),
  succeeded: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  seconds: z.number().nonnegative(),
});
export type BulkDone = z.infer<typeof BulkDone>;
