// Jobs that AWS Batch runs: submitted once whatever happens in between, ended, and given up with a sentence that says why.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { BulkService } from '../../../../api/bulk/service/routes.ts';
import { type ObjectStore, objectOf } from '../../../../api/registry/store.ts';
import type { BatchClient, BatchJob } from '../../../../api/worker/jobs/batch.ts';
import { createBatchService } from '../../../../api/worker/jobs/service.ts';
import type { JobReport } from '../../../../contracts/src/api/tasks/jobs.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';

const MANIFEST = ModelManifest.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, '../../../../api/model/manifest.json'), 'utf8')),
);
const BODY = { input: { items: Array.from({ length: 1500 }, (_, i) => ({ custom_id: `${i}`, text: `a dog ${i}` })) } };
const MONDAY = { owner: null, idempotencyKey: 'monday' };

function memoryStore(): ObjectStore & { objects: Map<string, { bytes: Uint8Array; etag: string }> } {
  const objects = new Map<string, { bytes: Uint8Array; etag: string }>();
  let writes = 0;
  return {
    uri: 's3://jobs',
    objects,
    async get(key) {
      const found = objects.get(key);
      return found && objectOf(found.bytes, found.etag);
    },
    async put(key, body, condition) {
      const there = objects.get(key);
      if (condition === 'absent' && there) return false;
      if (typeof condition === 'object' && there?.etag !== condition.etag) return false;
      if (!(body instanceof Uint8Array)) throw new TypeError('no streams here');
      writes += 1;
      objects.set(key, { bytes: body, etag: String(writes) });
      return true;
    },
    async list(prefix, { after = '', most } = {}) {
      return [...objects]
        .flatMap(([key, { bytes }]) => (key.startsWith(prefix) && key > after ? [{ key, size: bytes.length }] : []))
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .slice(0, most);
    },
  };
}

interface Fake extends BatchClient {
  submitted: { name: string; uri: string; shards: number }[];
  terminated: string[];
  /** What Batch says of every job. */
  job: BatchJob;
  children: { shard: number; reason: string | undefined }[];
  /** Thrown by the next submission, before or after Batch has taken it. */
  breaks: 'before' | 'after' | undefined;
}

function fakeBatch(): Fake {
  const fake: Fake = {
    submitted: [],
    terminated: [],
    job: { status: 'RUNNING', reason: undefined, isArray: true },
    children: [],
    breaks: undefined,
    async submit(job) {
      const { breaks } = fake;
      fake.breaks = undefined;
      if (breaks === 'before') throw new Error('the connection was reset');
      fake.submitted.push(job);
      if (breaks === 'after') throw new Error('the connection was reset');
      return `batch-${fake.submitted.length}`;
    },
    find: async (name) => {
      const at = fake.submitted.findLastIndex((job) => job.name === name);
      return at < 0 ? undefined : `batch-${at + 1}`;
    },
    describe: async () => fake.job,
    failedChildren: async () => fake.children,
    terminate: async (id) => void fake.terminated.push(id),
  };
  return fake;
}

function open() {
  const [store, batch] = [memoryStore(), fakeBatch()];
  const current = async () => ({ manifest: MANIFEST, digest: null });
  const service: BulkService = createBatchService({ store, batch, current, background: () => {} });
  return { store, batch, service, jobs: service.jobs, files: service.files };
}

const get = (jobs: BulkService['jobs'], id: string): Promise<JobReport> => jobs.get(id, null);

describe('a job that AWS Batch runs', () => {
  test('is planned, and submitted with a child for each shard', async () => {
    const { store, batch, jobs } = open();
    const { id, status, shards } = await jobs.create(BODY, MONDAY);
    expect([status, shards]).toEqual(['in_progress', { total: 2, done: 0 }]);
    expect(batch.submitted).toEqual([{ name: id, uri: `s3://jobs/jobs/${id}`, shards: 2 }]);
    const lines = new TextDecoder().decode(store.objects.get(`jobs/${id}/input/shard-0001.jsonl`)?.bytes);
    expect(lines.trim().split('\n')).toHaveLength(1500 - 1024);
  });

  test('says what it takes: shards of 4 vCPUs on Fargate, each a minute at least', async () => {
    const { jobs } = open();
    const { estimate, shards } = await jobs.create(BODY, MONDAY);
    const usd = (4 * 0.03238 + 8 * 0.00356) / 60;
    expect(estimate).toMatchObject({ images: 0, hours: expect.closeTo(2 / 60, 9), usd: expect.closeTo(2 * usd, 9) });
    expect(shards.total).toBe(2);
  });

  test('beyond what its key may still ask for is refused with both numbers, and nothing is submitted', async () => {
    const { batch, jobs } = open();
    const words = { images: null, tokens: 1000 };
    await expect(jobs.create(BODY, { ...MONDAY, left: words })).rejects.toMatchObject({
      code: 'quota_exceeded',
      message: expect.stringMatching(/^The job has about 4,400 tokens, .* 1,000 more this month/),
    });
    expect(batch.submitted).toEqual([]);
    // Within it, it is a job; the same request again is the same job, whatever is left by then.
    const { id } = await jobs.create(BODY, { ...MONDAY, left: { images: 0, tokens: 4400 } });
    expect((await jobs.create(BODY, { ...MONDAY, left: { images: 0, tokens: 0 } })).id).toBe(id);
    expect(batch.submitted).toHaveLength(1);
  });

  test('of a file is counted when it is cut, and ends there if it is too much', async () => {
    const { batch, jobs, files } = open();
    const lines = Array.from({ length: 2000 }, (_, at) => JSON.stringify({ custom_id: `${at}`, image: 'AAAA' }));
    const bytes = new TextEncoder().encode(lines.join('\n'));
    const file = await files.create({ filename: 'lines.jsonl', purpose: 'batch', bytes }, null);
    const asked = { input: { file_id: file.id } };
    const refused = jobs.create(asked, { ...MONDAY, left: { images: 1999, tokens: null } });
    await expect(refused).rejects.toThrow('The job has 2,000 images, and its API key may ask for 1,999 more');
    // Under its key it is what it became.
    const again = await jobs.create(asked, { ...MONDAY, left: { images: 1999, tokens: null } });
    expect(again).toMatchObject({ status: 'failed', error: expect.stringContaining('2,000 images'), estimate: null });
    expect(batch.submitted).toEqual([]);
  });

  test('is submitted once, however often and at whatever moment it is asked for again', async () => {
    const { batch, jobs } = open();
    const [first, second] = await Promise.all([jobs.create(BODY, MONDAY), jobs.create(BODY, MONDAY)]);
    expect((await jobs.create(BODY, MONDAY)).id).toBe(first.id);
    expect([second.id, batch.submitted.length]).toEqual([first.id, 1]);
  });

  test.each(['before', 'after'] as const)(
    'a submission that broke off %s Batch took it is made up for by the next request',
    async (breaks) => {
      const { batch, jobs } = open();
      batch.breaks = breaks;
      await expect(jobs.create(BODY, MONDAY)).rejects.toThrow('reset');
      const { id, status } = await jobs.create(BODY, MONDAY);
      expect([status, batch.submitted.length]).toEqual(['in_progress', 1]);
      await jobs.cancel(id, null);
      expect(batch.terminated).toEqual(['batch-1']);
    },
  );

  test('a claim that was left behind by a Worker that went away is taken over when its time is over', async () => {
    const { store, batch, jobs } = open();
    const { id } = await jobs.create(BODY, MONDAY);
    const claim = async (seconds: number) => {
      const claimed_until = new Date(Date.now() + seconds * 1000).toISOString();
      const text = JSON.stringify({ schema_version: 1, job: id, batch_job: null, claimed_until });
      await store.put(`jobs/${id}/submission.json`, new TextEncoder().encode(text));
      batch.submitted.length = 0;
      await jobs.create(BODY, MONDAY);
      return batch.submitted.length;
    };
    expect([await claim(30), await claim(-1)]).toEqual([0, 1]);
  });

  test('without a key nobody can ask again: it has failed, and says why', async () => {
    const { batch, jobs } = open();
    batch.breaks = 'before';
    await expect(jobs.create(BODY, { owner: null, idempotencyKey: null })).rejects.toThrow('reset');
    const [job] = (await jobs.list(null, {})).data;
    expect(job).toMatchObject({ status: 'failed', error: 'the connection was reset' });
  });

  test('that Batch gave up has failed, with the shards that did and why', async () => {
    const { batch, jobs } = open();
    const { id } = await jobs.create(BODY, MONDAY);
    expect((await get(jobs, id)).status).toBe('in_progress');
    batch.job = { status: 'FAILED', reason: 'Array Child Job failed', isArray: true };
    batch.children = [{ shard: 1, reason: 'Essential container in task exited' }];
    const error = 'Shard 1 failed in all attempts: Essential container in task exited.';
    expect(await get(jobs, id)).toMatchObject({ status: 'failed', error });
    expect(await jobs.create(BODY, MONDAY)).toMatchObject({ id, status: 'failed' });
    expect(batch.submitted).toHaveLength(1);
  });

  test('says nothing of failure while Batch cannot be asked', async () => {
    const { batch, jobs } = open();
    const { id } = await jobs.create(BODY, MONDAY);
    batch.describe = async () => undefined;
    expect((await get(jobs, id)).status).toBe('in_progress');
  });

  test('that failed while nobody looked is told of by the schedule, once', async () => {
    const { batch, service, jobs } = open();
    const webhook = { url: 'https://example.com/jobs', secret: `whsec_${'A'.repeat(32)}` };
    await jobs.create({ ...BODY, webhook }, MONDAY);
    const sent: string[] = [];
    const send = async (_: string, { body }: RequestInit) => {
      sent.push((JSON.parse(await (body as Blob).text()) as { type: string }).type);
      return new Response(null, { status: 204 });
    };
    await service.tellOverdue({ send, quietMs: 0 });
    batch.job = { status: 'FAILED', reason: 'Array Child Job failed', isArray: true };
    // Whoever ends a job tells of it at first.
    await service.tellOverdue({ send, quietMs: 60_000 });
    expect(sent).toEqual([]);
    await service.tellOverdue({ send, quietMs: 0 });
    await service.tellOverdue({ send, quietMs: 0 });
    expect(sent).toEqual(['job.failed']);
  });
});

describe('a list of jobs', () => {
  const [ANNA, BERT] = ['ec_annaanna', 'ec_bertbert'];
  const item = { input: { items: [{ custom_id: '1', text: 'a dog' }] } };

  async function filled() {
    const opened = open();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      for (const owner of [ANNA, BERT]) {
        const { id } = await opened.jobs.create(item, { owner, idempotencyKey: null });
        if (owner === ANNA) ids.unshift(id);
        // Times are in milliseconds.
        await new Promise((wake) => setTimeout(wake, 2));
      }
    }
    return { ...opened, ids };
  }

  test('is turned by pages, the newest first, and nothing of another page or owner is read', async () => {
    const { jobs, store, ids } = await filled();
    const read = vi.spyOn(store, 'get');
    const first = await jobs.list(ANNA, { limit: 2 });
    expect([first.data.map(({ id }) => id), first.has_more]).toEqual([ids.slice(0, 2), true]);
    expect(new Set(read.mock.calls.map(([key]) => key.split('/')[1]))).toEqual(new Set(ids.slice(0, 3)));
    const second = await jobs.list(ANNA, { limit: 2, after: first.last_id ?? '' });
    const third = await jobs.list(ANNA, { limit: 2, after: second.last_id ?? '' });
    expect([second, third].map(({ data }) => data.map(({ id }) => id))).toEqual([ids.slice(2, 4), ids.slice(4)]);
    expect([second.has_more, third.has_more]).toEqual([true, false]);
    expect((await jobs.list(null, {})).data).toEqual([]);
  });

  test('goes on behind a job of its own only', async () => {
    const { jobs, ids } = await filled();
    for (const after of ['job_0123456789abcdef', 'nothing', ids[0] ?? '']) {
      await expect(jobs.list(BERT, { after })).rejects.toMatchObject({
        code: 'not_found',
        details: { param: 'after' },
      });
    }
  });
});
