// Client of AWS Batch for bulk jobs, by signed calls: submits jobs, finds, describes and ends them.

import * as z from 'zod';
import type { BulkMachineKind } from '../../../contracts/src/bulk/job.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { type AwsKeys, createSignedFetch } from '../aws/signed-fetch.ts';

/** Where jobs for one kind of machine go. */
export interface BatchPlace {
  /** ARN of the queue, which names the region. */
  queue: string;
  /** ARN of the definition of a shard. */
  definition: string;
}

export interface BatchOptions {
  /** Those that this deployment has. */
  places: { cpu: BatchPlace; gpu?: BatchPlace | undefined };
  /** Where Batch is not AWS's own. */
  endpoint?: string | undefined;
  keys: () => Promise<AwsKeys>;
}

export interface BatchJob {
  status: string;
  /** Why it is in that state; undefined where Batch does not say. */
  reason: string | undefined;
  /** Of an array job; 0 where it is not one. */
  children: number;
}

export interface FailedChild {
  /** Its number, from 0. */
  child: number;
  reason: string | undefined;
}

/** All of these throw `encoder_unavailable` where Batch refuses or does not answer, with what it said. */
export interface BatchClient {
  /** Those that jobs can be submitted to. */
  kinds: readonly BulkMachineKind[];
  /** An array job with that many children; with one child, a job that is not an array. Answers its id. */
  submit(job: { name: string; uri: string; children: number; machine: BulkMachineKind }): Promise<string>;
  /** Id of the newest one of that name on that kind of machine. */
  find(name: string, machine: BulkMachineKind): Promise<string | undefined>;
  /** Undefined where Batch does not know it any more: it forgets jobs some days after their end. */
  describe(id: string): Promise<BatchJob | undefined>;
  /** Children of an array job that failed in all of their attempts, by their numbers. */
  failedChildren(id: string): Promise<FailedChild[]>;
  /** All children of an array job with it. */
  terminate(id: string, reason: string): Promise<void>;
}

const CALL_MS = 15_000;

const Submitted = z.object({ jobId: z.string().min(1) });
const arrayProperties = z.object({ size: z.int().nullish() }).nullish();
const Described = z.object({
  jobs: z.array(z.object({ status: z.string(), statusReason: z.string().nullish(), arrayProperties })).default([]),
});
const Listed = z.object({
  jobSummaryList: z
    .array(
      z.object({
        jobId: z.string(),
        jobName: z.string(),
        createdAt: z.number().default(0),
        statusReason: z.string().nullish(),
      }),
    )
    .default([]),
  nextToken: z.string().nullish(),
});

export function createBatchClient({ places, endpoint, keys }: BatchOptions): BatchClient {
  // arn:aws:batch:REGION:ACCOUNT:job-queue/NAME
  const region = places.cpu.queue.split(':')[3] ?? '';
  const root = endpoint ?? `https://batch.${region}.amazonaws.com`;
  const send = createSignedFetch(keys, { service: 'batch', region });

  async function call<T extends z.ZodType>(operation: string, asked: object, answer: T): Promise<z.infer<T>> {
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(asked),
      signal: AbortSignal.timeout(CALL_MS),
    };
    const lost = (error: unknown): never => {
      throw refused(operation, reasonOf(error));
    };
    const response = await send(`${root}/v1/${operation}`, init).catch(lost);
    const text = await response.text().catch(lost);
    if (!response.ok) throw refused(operation, `it answered ${response.status} ${text.slice(0, 300)}`.trimEnd());
    const read = answer.safeParse(text === '' ? {} : jsonIn(text));
    if (!read.success) throw refused(operation, `it answered ${text.slice(0, 300)}`);
    return read.data;
  }

  async function list(asked: object) {
    const found: z.infer<typeof Listed>['jobSummaryList'] = [];
    let nextToken: string | null | undefined;
    do {
      const page = await call('listjobs', nextToken ? { ...asked, nextToken } : asked, Listed);
      found.push(...page.jobSummaryList);
      nextToken = page.nextToken;
    } while (nextToken);
    return found;
  }

  /** A plan may be older than the deployment that runs it. */
  function placeOf(machine: BulkMachineKind): BatchPlace {
    const { [machine]: place } = places;
    if (place !== undefined) return place;
    const message =
      'The job was planned for machines with a GPU, which this deployment no longer has for jobs: ask for it under another Idempotency-Key.';
    throw new CoreError('not_configured', message);
  }

  return {
    kinds: places.gpu === undefined ? ['cpu'] : ['cpu', 'gpu'],
    async submit({ name, uri, children, machine }) {
      const { queue, definition } = placeOf(machine);
      const asked = {
        jobName: name,
        jobQueue: queue,
        jobDefinition: definition,
        parameters: { job: uri },
        // An array has at least two children. A job that is not an array does all shards.
        ...(children > 1 ? { arrayProperties: { size: children } } : {}),
      };
      return (await call('submitjob', asked, Submitted)).jobId;
    },
    async find(name, machine) {
      const found = await list({ jobQueue: placeOf(machine).queue, filters: [{ name: 'JOB_NAME', values: [name] }] });
      const own = found.filter(({ jobName }) => jobName === name).sort((a, b) => b.createdAt - a.createdAt);
      return own[0]?.jobId;
    },
    async describe(id) {
      const [job] = (await call('describejobs', { jobs: [id] }, Described)).jobs;
      if (!job) return undefined;
      const children = job.arrayProperties?.size ?? 0;
      return { status: job.status, reason: job.statusReason ?? undefined, children };
    },
    async failedChildren(id) {
      const children = await list({ arrayJobId: id, jobStatus: 'FAILED' });
      // A child is named PARENT:NUMBER.
      return children
        .map(({ jobId, statusReason }) => ({ child: Number(jobId.split(':')[1]), reason: statusReason ?? undefined }))
        .sort((a, b) => a.child - b.child);
    },
    async terminate(id, reason) {
      await call('terminatejob', { jobId: id, reason }, z.object({}));
    },
  };
}

function refused(operation: string, reason: string): CoreError {
  const message = `AWS Batch does not take ${operation} (${reason}). What was asked can be asked again under its Idempotency-Key.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 10 });
}
