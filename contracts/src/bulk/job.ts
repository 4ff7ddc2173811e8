// A bulk job as it is stored: what was asked, how it was cut into shards, what each shard left, and how it ended.
import * as z from 'zod';
import { byName } from '../api/tasks/by-name.ts';
import { Artefact, Digest } from '../model/artefact.ts';
import { BulkJobId } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { VideoSampling } from './video.ts';

/** Why a job ended that somebody cancelled, in the job itself and at AWS Batch. */
export const CANCELLED = 'It was cancelled.';

/** What a bulk job may be. */
export const BULK_LIMITS = {
  /** Items of a shard; what a stopped shard loses is at most this much work. */
  shard_items: 1024,
  /** Bytes of lines in a shard, where images are inside of them. */
  shard_bytes: 64 * 1024 * 1024,
  /** Items of a tar, which is a shard by itself, and of which the vectors are held in memory. */
  tar_items: 20_000,
  /** As many as an array job has children. */
  shards: 10_000,
  /** Days for which a job's files are kept. */
  days: 30,
  /** Bytes of a file that is sent in parts. */
  file_bytes: 256 * 1024 * 1024,
  /** Hours within which a job finishes, or is given up. */
  hours: 24,
} as const;

export const BulkFormat = z.enum(['jsonl', 'npy', 'safetensors', 'parquet']).meta({
  title: 'BulkFormat',
  description: 'Form of the files with the vectors.',
});
export type BulkFormat = z.infer<typeof BulkFormat>;

export const BulkType = z.enum(['float32', 'int8', 'binary']).meta({
  title: 'BulkType',
  description: 'How a number of a vector is written; `binary` keeps one bit, as `ubinary` of POST /embed does.',
});
export type BulkType = z.infer<typeof BulkType>;

export const BulkMachineKind = z.enum(['cpu', 'gpu']).meta({
  title: 'BulkMachineKind',
  description:
    'What shards are encoded on: processors, or machines with a GPU, which a deployment has where its settings say so.',
});
export type BulkMachineKind = z.infer<typeof BulkMachineKind>;

const place = z.string().regex(/^(file|s3|r2):\/\/./);
export const BulkInput = z
  .union([
    z
      .strictObject({
        prefix: place.describe(
          'Folder or prefix: every image file below it is an item, named by its path; videos, too, where the job says how.',
        ),
      })
      .meta({ title: 'BulkPrefix', description: 'Images and videos by prefix.' }),
    z
      .strictObject({ jsonl: place.describe('A file of lines, each a BulkLine.') })
      .meta({ title: 'BulkLines', description: 'Items by lines.' }),
    z
      .strictObject({
        parts: z
          .array(place)
          .min(1)
          .describe('Parts of one file of lines, which is cut anywhere: read one after the other.'),
      })
      .meta({ title: 'BulkParts', description: 'Items by lines of a file in parts.' }),
    z
      .strictObject({
        tars: z
          .array(place)
          .min(1)
          .describe('WebDataset tars: every image in them is an item; videos, too, where the job says how.'),
      })
      .meta({ title: 'BulkTars', description: 'Images and videos in tars.' }),
  ])
  .meta({ title: 'BulkInput', description: 'What is to be embedded.' });
export type BulkInput = z.infer<typeof BulkInput>;

export const BulkOutput = z
  .strictObject({
    formats: z.array(BulkFormat).min(1).describe('Forms of the files; each shard has one file of each.'),
    type: BulkType,
    dimensions: z.int().positive().describe('Numbers of a vector.'),
  })
  .meta({ title: 'BulkOutput', description: 'How vectors are written.' });
export type BulkOutput = z.infer<typeof BulkOutput>;

export const BulkAnswers = z
  .strictObject({
    endpoint: z.literal('/v1/embeddings').describe('What each line is a request to.'),
    metadata: byName(z.string(), z.string()).nullable().describe('Kept and given back; null: none was sent.'),
    file: z.string().describe('Id of the file that the lines came in.'),
  })
  .meta({
    title: 'BulkAnswers',
    description: 'Lines are requests, and are answered one by one, as OpenAI does in batches.',
  });
export type BulkAnswers = z.infer<typeof BulkAnswers>;

export const BulkModel = z
  .strictObject({
    id: z.string().describe('What a request names as `model`.'),
    version: z.string().describe('Its version.'),
    space_id: Digest.describe('The space of the vectors.'),
    manifest: Digest.nullable().describe('Digest of its manifest in the registry; null: the embedded model.'),
  })
  .meta({ title: 'BulkModel', description: 'The model that embeds.' });
export type BulkModel = z.infer<typeof BulkModel>;

const id = BulkJobId;
const time = z.iso.datetime();

export const BulkJob = z
  .strictObject({
    schema_version: SchemaVersion,
    id,
    owner: z
      .string()
      .nullable()
      .describe('Who may see it: the prefix of an API key; null: everybody who may see jobs.'),
    idempotency_key: z.string().nullable().describe('The same key names the same job; null: none was given.'),
    asked: Digest.nullable().describe(
      'Of what was asked under that key: another request with it is refused; null: none was given.',
    ),
    created_at: time.describe('When it was asked for.'),
    expires_at: time.nullable().describe('When it is given up if it is not finished; null: never.'),
    input: BulkInput,
    sources: z
      .array(place)
      .describe('Places that the lines of the input may name, beside the folder of the input itself.'),
    video: VideoSampling.nullable().describe('How videos are read; null: they are not.'),
    machine: BulkMachineKind.nullable().describe('What was asked for; null: whichever the plan finds the cheaper.'),
    output: z.union([BulkOutput, BulkAnswers]).describe('What is made of it.'),
    model: BulkModel,
  })
  .meta({ title: 'BulkJob', description: '`job.json`, written first and never changed: what is to be done.' });
export type BulkJob = z.infer<typeof BulkJob>;

const count = z.int().nonnegative();

export const BulkEstimate = z
  .strictObject({
    images: count.describe('Images among the items.'),
    tokens: count.describe('Tokens of the texts among them, about: a token for four characters.'),
    hours: z
      .number()
      .nonnegative()
      .describe('Hours of a machine, by rates that were measured with the embedded model. Machines share them.'),
    usd: z
      .number()
      .nonnegative()
      .nullable()
      .describe('Dollars for them, by list prices on demand; null: the machine is not paid for by the hour.'),
  })
  .meta({ title: 'BulkEstimate', description: 'What a job was planned to take.' });
export type BulkEstimate = z.infer<typeof BulkEstimate>;

export const BulkPlan = z
  .strictObject({
    schema_version: SchemaVersion,
    job: id,
    shards: count.max(BULK_LIMITS.shards).describe('Shards, numbered from 0.'),
    items: count.nullable().describe('Items in all; null where tars or videos were not opened to count them.'),
    skipped: count.describe('Files of a prefix that are not read.'),
    machine: BulkMachineKind.describe('What its shards are encoded on.'),
    estimate: BulkEstimate.nullable().describe(
      'What it will take; null where tars or videos were not opened to count their images.',
    ),
    at: time.describe('When it was made.'),
  })
  .meta({ title: 'BulkPlan', description: '`plan.json`, written when the lines of every shard are there.' });
export type BulkPlan = z.infer<typeof BulkPlan>;

export const BulkDone = z
  .strictObject({
    schema_version: SchemaVersion,
    job: id,
    shard: count.describe('Number of the shard.'),
    space_id: Digest.describe('The space of the vectors.'),
    items: count.describe('Items of the shard.'),
    succeeded: count.describe('Items that have a vector.'),
    failed: count.describe('Lines of `errors-NNNN.jsonl`.'),
    seconds: z.number().nonnegative().describe('Wall-clock seconds of the run that finished it.'),
    at: time.describe('When it was finished.'),
    files: z.array(Artefact).min(1).describe('What it left. The same input and model leave the same bytes.'),
  })
  .meta({
    title: 'BulkDone',
    description: '`part-NNNN.done.json`, written last: its presence means that the shard is finished.',
  });
export type BulkDone = z.infer<typeof BulkDone>;

/**
 * Bytes of a secret in base64 behind the prefix that Standard Webhooks give it: 24 to 64 bytes, padded or not. A number of characters
 * that is no base64 would fail when the end of the job is signed, and nobody would be told.
 */
const SECRET =
  /^whsec_((?:[A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}(==)?)?|(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=?)$/;

export const Webhook = z
  .strictObject({
    url: z
      .url()
      .regex(/^(https:\/\/(?![^/?#]*@)|http:\/\/(localhost|127\.0\.0\.1)(:\d+)?(\/|$))/, {
        error: 'https://… without a name and a password, or http:// of this machine',
      })
      .describe(
        'Where the end of the job is told to, by POST: https, or this machine. No name and password: fetch sends none that an address holds.',
      ),
    secret: z
      .string()
      .regex(SECRET, { error: 'whsec_ and the base64 of 24 to 64 random bytes' })
      .describe(
        'What it is signed with: `whsec_` and the base64 of 24 to 64 random bytes, as Standard Webhooks have it.',
      ),
  })
  .meta({ title: 'Webhook', description: 'Who is told of the end of a job.' });
export type Webhook = z.infer<typeof Webhook>;

export const BulkWebhook = z
  .strictObject({ schema_version: SchemaVersion, job: id, ...Webhook.shape })
  .meta({ title: 'BulkWebhook', description: '`webhook.json`, written before the job: who is told of its end.' });
export type BulkWebhook = z.infer<typeof BulkWebhook>;

export const BulkTold = z
  .strictObject({
    schema_version: SchemaVersion,
    job: id,
    at: time.describe('When.'),
    told: z.boolean().describe('Whether it was taken; false: not yet, and it is sent again for a day after the end.'),
    attempts: count.describe('How often it was sent.'),
    reason: z.string().nullable().describe('What came back from the last attempt; null: it was taken.'),
  })
  .meta({
    title: 'BulkTold',
    description: '`webhook-sent.json`: who was to be told of the end was told, or could not be so far.',
  });
export type BulkTold = z.infer<typeof BulkTold>;

export const BulkSubmission = z
  .strictObject({
    schema_version: SchemaVersion,
    job: id,
    batch_job: z
      .string()
      .min(1)
      .nullable()
      .describe('Id of its array job, or of its job where it has one shard, at AWS Batch; null: not submitted yet.'),
    claimed_until: time
      .nullable()
      .describe('Until when whoever wrote this is submitting it, so that nobody else does; null: nobody is.'),
  })
  .meta({ title: 'BulkSubmission', description: '`submission.json`: which job of AWS Batch runs the shards.' });
export type BulkSubmission = z.infer<typeof BulkSubmission>;

export const BulkStop = z
  .strictObject({
    schema_version: SchemaVersion,
    job: id,
    status: z.enum(['cancelled', 'failed']).describe('How it ended.'),
    at: time.describe('When.'),
    message: z.string().describe('A sentence that says why.'),
    shard: count.nullable().describe('The shard that could not be finished; null where none is to blame.'),
  })
  .meta({ title: 'BulkStop', description: '`stopped.json`: the job goes no further.' });
export type BulkStop = z.infer<typeof BulkStop>;
