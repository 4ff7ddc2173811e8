// Bulk jobs as array jobs of AWS Batch: cut into shards here, submitted once, ended when they are cancelled, given up when Batch does.
import { type BulkPlan, BulkSubmission, CANCELLED } from '../../../contracts/src/bulk/job.ts';
import {
  type BulkMachines,
  GPU_SHARD_MACHINE,
  machinesFor,
  SHARD_MACHINE,
} from '../../../contracts/src/cloud/bulk-estimate.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import type { JobFolder } from '../../bulk/service/folder.ts';
import type { PlanOptions } from '../../bulk/service/plan.ts';
import type { Runner } from '../../bulk/service/states.ts';
import { isFinal, type JobState, statusOf } from '../../bulk/service/status.ts';
import { CoreError } from '../../core/errors.ts';
import { tierOfId } from '../../core/model.ts';
import { encodeDocument } from '../../registry/store.ts';
import type { BatchClient, BatchJob, FailedChild } from './batch.ts';

export interface BatchRunnerOptions {
  open(id: string): JobFolder;
  /** Opens a folder or prefix that an input is in. */
  openPlace: PlanOptions['open'];
  batch: BatchClient;
}

type Placed = Pick<BulkPlan, 'machine'> & { children: number };

/** Longer than a submission takes: a claim that is older was left behind by a Worker that was stopped. */
const CLAIM_MS = 60_000;
/** A Worker has 128 MB, 30 s of CPU and 1,000 calls for a request: a shard is in memory twice while it is written. */
const PLANNING = { reads: { files: 100_000, bytes: 256 * 2 ** 20 }, shardBytes: 8 * 2 ** 20 };
/** Shards that a sentence names. */
const NAMED = 5;

export function createBatchRunner({ open, openPlace, batch }: BatchRunnerOptions): Required<Runner> {
  const gpu = batch.kinds.includes('gpu') ? GPU_SHARD_MACHINE : undefined;
  const machines: BulkMachines = { cpu: SHARD_MACHINE, gpu };
  async function known(folder: JobFolder): Promise<{ submission: BulkSubmission; etag: string } | undefined> {
    const object = await folder.get(FILES.submission);
    return object && { submission: BulkSubmission.parse(JSON.parse(await object.text())), etag: object.etag };
  }

  /**
   * Batch has no token by which it would know a second submission of the same job. The Worker that writes the claim submits, and no
   * other one does until the claim has run out. A claim that was left behind may have led to a job, which is then found by its name.
   */
  async function submitOnce(folder: JobFolder, id: string, { machine, children }: Placed): Promise<void> {
    const before = await known(folder);
    const { batch_job = null, claimed_until = null } = before?.submission ?? {};
    if (batch_job !== null || (claimed_until !== null && Date.parse(claimed_until) > Date.now())) return;
    const submission = (batchJob: string | null, until: string | null): BulkSubmission => {
      return { schema_version: SCHEMA_VERSION, job: id, batch_job: batchJob, claimed_until: until };
    };
    const claim = submission(null, new Date(Date.now() + CLAIM_MS).toISOString());
    const condition = before ? { etag: before.etag } : 'absent';
    if (!(await folder.put(FILES.submission, encodeDocument(claim), condition))) return;
    let submitted: string | undefined;
    try {
      submitted = before && (await batch.find(id, machine));
      submitted ??= await batch.submit({ name: id, uri: folder.uri, children, machine });
    } finally {
      await folder.put(FILES.submission, encodeDocument(submission(submitted ?? null, null)));
    }
    // It may have been cancelled before there was anything to end.
    const stop = await folder.stopped();
    if (stop) await batch.terminate(submitted, stop.message);
  }

  return {
    planning: { open: openPlace, machines, ...PLANNING },
    async submit(id) {
      const folder = open(id);
      const [job, stop, plan] = await Promise.all([folder.job(), folder.stopped(), folder.plan()]);
      if (!job || !plan || isFinal(statusOf({ job, stop, plan, done: [] }, Date.now()))) return;
      const { shards, estimate, machine } = plan;
      const cut = { shards, tier: tierOfId(job.model.id), machine: machines[machine] ?? machines.cpu };
      await submitOnce(folder, id, { machine, children: machinesFor(estimate, cut) });
    },
    async cancel(id) {
      const found = await known(open(id));
      const batchJob = found?.submission.batch_job ?? null;
      if (batchJob !== null) await batch.terminate(batchJob, CANCELLED);
    },
    async failure(state) {
      const { job, plan } = state;
      const folder = open(job.id);
      const batchJob = (await known(folder))?.submission.batch_job ?? null;
      // That Batch cannot be asked at this moment says nothing about the job.
      const described = batchJob === null ? undefined : await batch.describe(batchJob).catch(unlessCore);
      if (batchJob === null || !described || !hasEnded(described)) return undefined;
      // Marks that came while Batch was asked.
      if (plan && (await folder.countDone()) >= plan.shards) return undefined;
      const children = described.children > 0 ? await batch.failedChildren(batchJob).catch(unlessCore) : undefined;
      return whyOf(described, children ?? [], state);
    },
  };
}

const hasEnded = ({ status }: BatchJob): boolean => status === 'FAILED' || status === 'SUCCEEDED';

function whyOf({ reason, children }: BatchJob, ended: FailedChild[], { plan, done }: JobState) {
  const finished = new Set(done.map(({ shard }) => shard));
  // Of N children, child K does the shards K, K + N, K + 2 N and so on, in order: it stopped at its first shard without a mark.
  const failed = ended.flatMap((child) => {
    for (let shard = child.child; shard < (plan?.shards ?? 0); shard += children)
      if (!finished.has(shard)) return [{ shard, reason: child.reason }];
    return [];
  });
  const [first] = failed;
  const why = first?.reason ?? reason ?? 'AWS Batch does not say why';
  if (!first) return { message: `AWS Batch ended it with shards missing: ${why}.`, shard: null };
  const named = failed.slice(0, NAMED).map(({ shard }) => shard);
  const more = failed.length > named.length ? ` and ${failed.length - named.length} more` : '';
  const which = failed.length === 1 ? `Shard ${first.shard}` : `Shards ${named.join(', ')}${more}`;
  return { message: `${which} failed in all attempts: ${why}.`, shard: first.shard };
}

function unlessCore(error: unknown): undefined {
  if (!(error instanceof CoreError)) throw error;
}
