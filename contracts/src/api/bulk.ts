// A shard of a bulk job: JSON lines of images in, JSON lines of embeddings and of errors out.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { SchemaVersion } from '../schema-version.ts';
import { ErrorCode } from './error.ts';

const customId = z.string().min(1).max(512).describe('Name of the image in the output; chosen by the user.');
const line = z.int().nonnegative().describe("Number of the input's line, from 0.");
const pixels = z.int().positive();

export const BulkLine = z
  .union([
    z
      .strictObject({
        custom_id: customId,
        image: z.string().min(1).describe('Base64 or a data URI of an image file.'),
      })
      .meta({ title: 'BulkImage', description: 'An image inside the line.' }),
    z
      .strictObject({
        custom_id: customId,
        path: z.string().min(1).describe('An image file, relative to the input folder.'),
      })
      .meta({ title: 'BulkPath', description: 'An image in a file of its own.' }),
  ])
  .meta({ title: 'BulkLine', description: 'One line of `shard-NNNN.jsonl`.' });
export type BulkLine = z.infer<typeof BulkLine>;

export const BulkResult = z
  .strictObject({
    line,
    custom_id: z.string().describe('As in the input.'),
    embedding: z.string().describe('Base64 of little-endian float32: full length, unit norm.'),
    width: pixels.describe('Width of the image, EXIF orientation applied, in pixels.'),
    height: pixels.describe('Height of the image, EXIF orientation applied, in pixels.'),
  })
  .meta({ title: 'BulkResult', description: 'One line of `part-NNNN.jsonl`.' });
export type BulkResult = z.infer<typeof BulkResult>;

export const BulkError = z
  .strictObject({
    line,
    custom_id: z.string().nullable().describe('As in the input; null where the line itself could not be read.'),
    code: ErrorCode,
    message: z.string().describe('A sentence that says why.'),
  })
  .meta({ title: 'BulkError', description: 'One line of `errors-NNNN.jsonl`.' });
export type BulkError = z.infer<typeof BulkError>;

export const BulkShard = z
  .strictObject({
    schema_version: SchemaVersion,
    shard: z.int().nonnegative().describe('Number of the shard.'),
    input: Digest.describe('Digest of the input file.'),
    space_id: Digest.describe('The space of the vectors.'),
  })
  .meta({
    title: 'BulkShard',
    description:
      "`part-NNNN.started.json`: what a shard's output is made of; written first, so that a rerun knows whether to continue.",
  });
export type BulkShard = z.infer<typeof BulkShard>;

export const BulkDone = BulkShard.extend({
  lines: z.int().nonnegative().describe('Lines of the input that are not empty.'),
  succeeded: z.int().nonnegative().describe('Lines of `part-NNNN.jsonl`.'),
  failed: z.int().nonnegative().describe('Lines of `errors-NNNN.jsonl`.'),
  seconds: z.number().nonnegative().describe('Wall-clock seconds of the run that finished it.'),
}).meta({
  title: 'BulkDone',
  description: '`part-NNNN.done.json`, written last: its presence means that the shard is finished.',
});
export type BulkDone = z.infer<typeof BulkDone>;
