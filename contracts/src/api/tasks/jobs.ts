// Bulk jobs over HTTP: asked for in one request, embedded while nobody waits, reported in the words of OpenAI's batches.
import * as z from 'zod';
import {
  BULK_LIMITS,
  BulkEstimate,
  BulkFormat,
  BulkInput,
  BulkMachineKind,
  BulkModel,
  BulkOutput,
  BulkType,
  Webhook,
} from '../../bulk/job.ts';
import { BulkLine } from '../../bulk/lines.ts';
import { BulkBudget } from '../../bulk/quota.ts';
import { VideoSampling } from '../../bulk/video.ts';
import { Artefact } from '../../model/artefact.ts';
import { RoutingReceipt } from '../encode.ts';
import { ErrorMember } from '../error.ts';
import type { Operation } from '../operation.ts';
import { DRY_RUN } from './dry-run.ts';
import { PAGE, paged } from './pages.ts';

export const JobStatus = z.enum(['validating', 'in_progress', 'completed', 'failed', 'expired', 'cancelled']).meta({
  title: 'JobStatus',
  description:
    '`validating`: being cut into shards. `in_progress`: shards are embedded, or wait for it. The others are final.',
});
export type JobStatus = z.infer<typeof JobStatus>;

export const JobRequest = z
  .strictObject({
    input: z
      .union([
        z
          .strictObject({ items: z.array(BulkLine).min(1).max(2048).describe('The items themselves.') })
          .meta({ title: 'JobItems', description: 'Items inside the request.' }),
        z
          .strictObject({ file_id: z.string().min(1).describe('Id of a file of lines, from POST /v1/files.') })
          .meta({ title: 'JobFile', description: 'Items of a file that was sent before.' }),
        BulkInput,
      ])
      .describe('What is to be embedded.'),
    formats: z.array(BulkFormat).min(1).optional().describe('Forms of the files; absent: `jsonl`.'),
    type: BulkType.optional().describe('How numbers are written; absent: `float32`.'),
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    video: VideoSampling.optional().describe('How videos are read; absent: they are not.'),
    machine: BulkMachineKind.optional().describe(
      'What it is encoded on; absent: whichever the estimate says costs less. `gpu` is refused where the deployment has none for jobs.',
    ),
    webhook: Webhook.optional(),
  })
  .meta({ title: 'JobRequest', description: 'Body of POST /v1/jobs.' });
export type JobRequest = z.infer<typeof JobRequest>;

const count = z.int().nonnegative();
const seconds = z.int().nonnegative();

export const RequestCounts = z
  .strictObject({
    total: count.nullable().describe('Items in all; null while that is not known.'),
    completed: count.describe('Items of finished shards that have a vector.'),
    failed: count.describe('Items of finished shards that have an error.'),
  })
  .describe('How far it is: the sum over finished shards.');

export const JobReport = z
  .strictObject({
    id: z.string().describe('Id of the job.'),
    object: z.literal('job').describe('Name of this form.'),
    status: JobStatus,
    created_at: seconds.describe('Unix time when it was asked for.'),
    in_progress_at: seconds.nullable().describe('Unix time when it was planned; null: not yet.'),
    ended_at: seconds
      .nullable()
      .describe('Unix time when it was completed, failed, expired or cancelled; null: not yet.'),
    expires_at: seconds.nullable().describe('Unix time when it is given up; null: never.'),
    request_counts: RequestCounts,
    shards: z
      .strictObject({
        total: count.nullable().describe('Shards in all; null while it is not planned.'),
        done: count.describe('Shards that are finished.'),
      })
      .describe('Parts that are done one by one.'),
    machine: BulkMachineKind.nullable().describe('What its shards are encoded on; null while it is not planned.'),
    estimate: BulkEstimate.nullable().describe(
      'What it was planned to take; null while it is not planned, and where it reads tars or videos, which are not opened before.',
    ),
    error: z.string().nullable().describe('Why it failed or was cancelled; null: it was not.'),
    model: BulkModel,
    output: BulkOutput,
    files: z.array(Artefact).describe('Files of finished shards, for GET /v1/jobs/{id}/files/{name}.'),
  })
  .meta({ title: 'JobReport', description: 'A bulk job and how far it is.' });
export type JobReport = z.infer<typeof JobReport>;

export const EmbedJob = JobReport.extend({
  routing: RoutingReceipt.describe('Why there is a job and no vectors yet.'),
}).meta({
  title: 'EmbedJob',
  description: 'Answer 202 of a request for embeddings: the job that it became, for GET /v1/jobs/{id}.',
});
export type EmbedJob = z.infer<typeof EmbedJob>;

export const JobDryRun = z
  .strictObject({
    object: z.literal('dry_run').describe('Name of this form.'),
    model: BulkModel,
    output: BulkOutput,
    shards: count.describe('Shards that the job would be cut into.'),
    items: count.nullable().describe('Items in all; null where it reads tars or videos, which are not opened before.'),
    skipped: count.describe('Files of a prefix that are no images.'),
    machine: BulkMachineKind.describe('What its shards would be encoded on.'),
    estimate: BulkEstimate.nullable().describe('What it would take; null where it reads tars or videos.'),
    routing: RoutingReceipt.describe('Where it would go: a job is never a matter of an image encoder.'),
    quota: BulkBudget.pick({ images: true, tokens: true })
      .meta({ title: 'QuotaLeft', description: 'What the key that asks may still ask for this month.' })
      .nullable()
      .describe('What is left of the quota; null: nothing is counted.'),
    error: ErrorMember.nullable().describe('Why the job would be refused; null: it would be begun.'),
  })
  .meta({
    title: 'JobDryRun',
    description: 'Answer of POST /v1/jobs with `dry_run=1`: what would come of it. Nothing is begun or charged.',
  });
export type JobDryRun = z.infer<typeof JobDryRun>;

export const JobList = paged(JobReport).meta({ title: 'JobList', description: 'Answer of GET /v1/jobs.' });
export type JobList = z.infer<typeof JobList>;

/** Of every operation that may begin a job in the place of its answer. */
export const JOB_INSTEAD = {
  answer:
    'A job that was begun in the place of vectors: as `Prefer: respond-async` asks, or because the images are more than are encoded ' +
    'while a request waits. `Location` is its address.',
  response: EmbedJob,
} as const;

const DAYS = `Files are kept for ${BULK_LIMITS.days} days.`;

export const JOB_OPERATIONS = {
  createJob: {
    method: 'POST',
    path: '/v1/jobs',
    door: 'own',
    scope: 'jobs',
    summary: 'Embed many items while nobody waits',
    description: DAYS,
    hasIdempotencyKey: true,
    query: DRY_RUN,
    request: JobRequest,
    examples: {
      items: {
        value: {
          input: { items: [{ custom_id: 'a', text: 'a dog running through snow' }] },
          formats: ['jsonl', 'parquet'],
          type: 'int8',
        },
      },
    },
    answer: 'The job, which has only begun; with `dry_run=1` what would come of it.',
    response: z.union([JobReport, JobDryRun]),
  },
  listJobs: {
    method: 'GET',
    path: '/v1/jobs',
    door: 'own',
    scope: 'jobs',
    summary: 'List bulk jobs',
    query: PAGE,
    answer: "The caller's jobs.",
    response: JobList,
  },
  getJob: {
    method: 'GET',
    path: '/v1/jobs/{id}',
    door: 'own',
    scope: 'jobs',
    summary: 'How far a bulk job is',
    answer: 'The job.',
    response: JobReport,
  },
  cancelJob: {
    method: 'DELETE',
    path: '/v1/jobs/{id}',
    door: 'own',
    scope: 'jobs',
    summary: 'Cancel a bulk job',
    description: 'Shards that are finished stay. A job that has ended stays as it is.',
    answer: 'The job.',
    response: JobReport,
  },
  getJobFile: {
    method: 'GET',
    path: '/v1/jobs/{id}/files/{name}',
    door: 'own',
    scope: 'jobs',
    summary: 'A file of a finished shard',
    hasRanges: true,
    answer: 'Its bytes.',
    answerType: 'application/octet-stream',
    response: z.string().describe('Bytes.'),
  },
} as const satisfies Record<string, Operation>;
