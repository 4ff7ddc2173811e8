// Quotas of API keys in bulk jobs: what was left when one was asked for, what it was charged, and what was given back.
import * as z from 'zod';
import { BulkJobId } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';

const count = z.int().nonnegative();
const time = z.iso.datetime();

export const BulkBudget = z
  .strictObject({
    schema_version: SchemaVersion,
    job: BulkJobId,
    images: count.nullable().describe('Images that its key could still ask for this month; null: as many as it likes.'),
    tokens: count.nullable().describe('Tokens that its key could still ask for; null: as many as it likes.'),
  })
  .meta({
    title: 'BulkBudget',
    description: '`budget.json`, written before the job where its key has a quota: a plan beyond it is refused.',
  });
export type BulkBudget = z.infer<typeof BulkBudget>;

export const BulkCharge = z
  .strictObject({
    schema_version: SchemaVersion,
    job: BulkJobId,
    images: z.array(count).min(1).describe('Images of each shard.'),
    tokens: z.array(count).min(1).describe('Tokens of each shard, about; as many numbers as there are of images.'),
    charged_at: time.nullable().describe('When whoever asked was charged for all of them; null: not yet.'),
    returned: z
      .strictObject({
        images: count.describe('Images.'),
        tokens: count.describe('Tokens, about.'),
        at: time.describe('When.'),
      })
      .meta({ title: 'BulkReturn', description: 'What was given back.' })
      .nullable()
      .describe('What the job had not done when it ended early; null: nothing was given back.'),
  })
  .meta({
    title: 'BulkCharge',
    description: '`charge.json`, written before the plan of a job that was asked for over HTTP: what it is charged.',
  });
export type BulkCharge = z.infer<typeof BulkCharge>;

/** What the quota of a key counts. */
export const COUNTED = ['images', 'tokens'] as const;
/** What a key may still ask for this month; null: as much as it likes. */
export type Left = Pick<BulkBudget, (typeof COUNTED)[number]>;
/** Headers by which the Worker says it to the service of bulk jobs; absent: as much as it likes. */
export const LEFT_HEADERS = { images: 'x-images-left', tokens: 'x-tokens-left' } as const;
/** Headers by which that answers what a job was charged just now; absent: nothing. */
export const WORK_HEADERS = { images: 'x-job-images', tokens: 'x-job-tokens' } as const;
/** Headers by which it answers what a job that has ended early gives back just now; absent: nothing. */
export const RETURNED_HEADERS = { images: 'x-job-images-returned', tokens: 'x-job-tokens-returned' } as const;
