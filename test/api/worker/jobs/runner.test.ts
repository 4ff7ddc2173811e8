// Jobs that AWS Batch runs: submitted once whatever happens in between, ended, and given up with a sentence that says why.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { BulkService } from '../../../../api/bulk/service/routes.ts';
import { type ObjectStore, objectOf } from '../../../../api/registry/store.ts';
import type { BatchClient, BatchJob, FailedChild } from '../../../../api/worker/jobs/batch.ts';
import { askHere, createBatchService } from '../../../../api/worker/jobs/service.ts';
import { JobDryRun, type JobReport } from '../../../../contracts/src/api/tasks/jobs.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';

const MANIFEST = ModelManifest.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, '../../../../api/model/manifest.json'), 'utf8')),
);
const BODY = { input: { items: Array.from({ length: 1500 }, (_, i) => ({ custom_id: `${i}`, text: `a dog ${i}` })) } };
/** Tars are shards, of which a child has nine: two children. */
const TARS = { input: { items: Array.from({ length: 10 }, (_, i) => ({ custom_id: `${i}`, tar: `${i}.tar` })) } };
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
    async read(key, { from, to }) {
      return objectOf(objects.get(key)?.bytes.subarray(from, to) ?? new Uint8Array()).stream();
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
  submitted: { name: string; uri: string; children: number; machine: 'cpu' | 'gpu' }[];
  terminated: string[];
  /** What Batch says of every job. */
  job: BatchJob;
  children: FailedChild[];
  /** Thrown by the next submission, before or after Batch has taken it. */
  breaks: 'before' | 'after' | undefined;
}

function fakeBatch(kinds: Fake['kinds']): Fake {
  const fake: Fake = {
    kinds,
    submitted: [],
    terminated: [],
    job: { status: 'RUNNING', reason: undefined, children: 2 },
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
    find: async (name, machine) => {
      const at = fake.submitted.findLastIndex((job) => job.name === name && job.machine === machine);
      return at < 0 ? undefined : `batch-${at + 1}`;
    },
    describe: async () => fake.job,
    failedChildren: async () => fake.children,
    terminate: async (id) => void fake.terminated.push(id),
  };
  return fake;
}

function open(kinds: Fake['kinds'] = ['cpu']) {
  const [store, batch] = [memoryStore(), fakeBatch(kinds)];
  const current = async () => ({ manifest: MANIFEST, digest: null });
  const service: BulkService = createBatchService({ store, batch, current, background: () => {} });
  return { store, batch, service, jobs: service.jobs, files: service.files };
}

/** As the child that did the shard leaves it. */
async function finish(store: ObjectStore, { id, model }: JobReport, shard: number): Promise<void> {
  const counts = { items: 1, succeeded: 1, failed: 0, seconds: 1, at: new Date().toISOString() };
  const files = [{ path: `part-000${shard}.jsonl`, digest: `sha256:${'a'.repeat(64)}`, size: 1 }];
  const mark = { schema_version: 1, job: id, shard, space_id: model.space_id, ...counts, files };
  await store.put(`jobs/${id}/part-000${shard}.done.json`, new TextEncoder().encode(JSON.stringify(mark)));
}

const get = (jobs: BulkService['jobs'], id: string): Promise<JobReport> => jobs.get(id, null);

describe('a job that AWS Batch runs', () => {
  test('is planned, and submitted with as many children as make it worth a start', async () => {
    const { store, batch, jobs } = open();
    const { id, status, shards } = await jobs.create(BODY, MONDAY);
    expect([status, shards]).toEqual(['in_progress', { total: 2, done: 0 }]);
    expect(batch.submitted).toEqual([{ name: id, uri: `s3://jobs/jobs/${id}`, children: 1, machine: 'cpu' }]);
    const lines = new TextDecoder().decode(store.objects.get(`jobs/${id}/input/shard-0001.jsonl`)?.bytes);
    expect(lines.trim().split('\n')).toHaveLength(1500 - 1024);
    await jobs.create(TARS, { owner: null, idempotencyKey: 'tuesday' });
    expect(batch.submitted.map(({ children }) => children)).toEqual([1, 2]);
  });

  test('of a prefix with a slash at its end holds what it holds without', async () => {
    const { store, jobs } = open();
    await store.put('uploads/shared/photos/my cat.jpg', new Uint8Array(9));
    const planned = async (prefix: string) => (await jobs.plan({ input: { prefix } }, MONDAY)).items;
    expect(await planned('s3://jobs/uploads/shared/photos')).toBe(1);
    expect(await planned('s3://jobs/uploads/shared/photos/')).toBe(1);
  });

  test('says what it takes: 4 vCPUs on Fargate, for a minute at least', async () => {
    const { jobs } = open();
    const { estimate, shards } = await jobs.create(BODY, MONDAY);
    const usd = (4 * 0.03238 + 8 * 0.00356) / 60;
    expect(estimate).toMatchObject({ images: 0, hours: expect.closeTo(1 / 60, 9), usd: expect.closeTo(usd, 9) });
    expect(shards.total).toBe(2);
  });

  test('is not said to be gone where reading of it breaks off, only where there is none of its id', async () => {
    const { store, jobs } = open();
    const { id } = await jobs.create(BODY, MONDAY);
    // As fetch reports a connection that was lost in the middle of an answer.
    store.get = async () => Promise.reject(new TypeError('terminated'));
    await expect(get(jobs, id)).rejects.toThrow('terminated');
    for (const other of ['job_', '../jobs', '']) {
      await expect(get(jobs, other)).rejects.toMatchObject({ code: 'not_found' });
    }
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
    const { batch, jobs, store } = open();
    const begun = await jobs.create(TARS, MONDAY);
    const { id } = begun;
    expect((await get(jobs, id)).status).toBe('in_progress');
    batch.job = { status: 'FAILED', reason: 'Array Child Job failed', children: 2 };
    batch.children = [{ child: 1, reason: 'Essential container in task exited' }];
    // The second child has the shards 1, 3, 5, 7 and 9; it has finished the first of them.
    await finish(store, begun, 1);
    const error = 'Shard 3 failed in all attempts: Essential container in task exited.';
    expect(await get(jobs, id)).toMatchObject({ status: 'failed', error });
    expect(await jobs.create(TARS, MONDAY)).toMatchObject({ id, status: 'failed' });
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
    batch.job = { status: 'FAILED', reason: 'Array Child Job failed', children: 2 };
    // Whoever ends a job tells of it at first.
    await service.tellOverdue({ send, quietMs: 60_000 });
    expect(sent).toEqual([]);
    await service.tellOverdue({ send, quietMs: 0 });
    await service.tellOverdue({ send, quietMs: 0 });
    expect(sent).toEqual(['job.failed']);
  });
});

describe('a job for machines with a GPU', () => {
  const IMAGES = { input: { items: Array.from({ length: 2048 }, (_, i) => ({ custom_id: `${i}`, image: 'AAAA' })) } };
  const asked = { ...IMAGES, machine: 'gpu' };

  test('is submitted for them, with what they take, and found there again', async () => {
    const { batch, jobs } = open(['cpu', 'gpu']);
    batch.breaks = 'after';
    await expect(jobs.create(asked, MONDAY)).rejects.toThrow('reset');
    const { id, machine, estimate } = await jobs.create(asked, MONDAY);
    expect(batch.submitted).toEqual([{ name: id, uri: `s3://jobs/jobs/${id}`, children: 1, machine: 'gpu' }]);
    expect(machine).toBe('gpu');
    // Five minutes of the machine, whose processors have 2,048 images ready in two seconds.
    expect(estimate).toMatchObject({ hours: expect.closeTo(1 / 12, 9), usd: expect.closeTo(1.861 / 12, 9) });
  });

  test('is one for processors where nothing was asked for, since they cost less', async () => {
    const { batch, jobs } = open(['cpu', 'gpu']);
    expect((await jobs.create(IMAGES, MONDAY)).machine).toBe('cpu');
    expect(batch.submitted.map(({ machine }) => machine)).toEqual(['cpu']);
  });

  test('is refused where there are none, in a dry run as in earnest, and processors may be asked for by name', async () => {
    const { batch, jobs } = open();
    const refused = { code: 'not_configured', message: expect.stringContaining('leave `machine` out') };
    await expect(jobs.create(asked, MONDAY)).rejects.toMatchObject(refused);
    await expect(jobs.plan(asked, MONDAY)).rejects.toMatchObject(refused);
    expect(batch.submitted).toEqual([]);
    expect((await jobs.create({ ...IMAGES, machine: 'cpu' }, MONDAY)).machine).toBe('cpu');
  });
});

describe('a dry run', () => {
  const ask = async (opened: ReturnType<typeof open>, body: object, left: Record<string, string> = {}) => {
    const headers = { 'x-owner': 'ec_annaanna', ...left };
    const init = { method: 'POST', headers, body: JSON.stringify(body) };
    return askHere(opened.service)('/v1/jobs?dry_run=1', init);
  };

  test('says what a job would be, which it then is, and leaves nothing', async () => {
    const opened = open();
    const response = await ask(opened, BODY, { 'x-tokens-left': '5000' });
    const { shards, items, estimate, model, output, ...plan } = JobDryRun.parse(await response.json());
    expect([opened.store.objects.size, opened.batch.submitted.length, [...response.headers.keys()]]).toEqual([
      0,
      0,
      ['content-type'],
    ]);
    const routing = { route: 'batch', reason: 'asked' };
    expect(plan).toEqual({
      object: 'dry_run',
      skipped: 0,
      machine: 'cpu',
      routing,
      quota: { images: null, tokens: 5000 },
      error: null,
    });
    const job = await opened.jobs.create(BODY, MONDAY);
    expect({ shards: job.shards.total, estimate: job.estimate, model: job.model, output: job.output }).toEqual({
      shards,
      estimate,
      model,
      output,
    });
    expect(items).toBe(job.request_counts.total);
  });

  test('says what the quota would, with the numbers of the plan', async () => {
    const beyond = JobDryRun.parse(await (await ask(open(), BODY, { 'x-tokens-left': '1000' })).json());
    expect(beyond).toMatchObject({
      shards: 2,
      items: 1500,
      quota: { tokens: 1000 },
      error: { code: 'quota_exceeded' },
    });
    expect(beyond.error?.message).toContain('about 4,400 tokens');
    const tars = JobDryRun.parse(await (await ask(open(), TARS, { 'x-images-left': '9' })).json());
    expect(tars).toMatchObject({ shards: 10, items: null, estimate: null, error: { code: 'quota_exceeded' } });
  });

  test('plans up to 10,000 shards and a million items with hours and dollars, and refuses the one that is too many', async () => {
    const opened = open();
    const dryRun = async (lines: number, line: object, left: Record<string, string> = {}) => {
      const bytes = new TextEncoder().encode(`${JSON.stringify(line)}\n`.repeat(lines));
      await opened.store.put('uploads/shared/lines.jsonl', bytes);
      const response = await ask(opened, { input: { jsonl: 's3://jobs/uploads/shared/lines.jsonl' } }, left);
      return JobDryRun.parse(await response.json());
    };
    const tar = { custom_id: 'a', tar: 'a.tar' };
    expect(await dryRun(10_000, tar)).toMatchObject({ shards: 10_000, items: null, error: null });
    await expect(dryRun(10_001, tar)).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('more than 10,000 shards'),
    });
    const image = { custom_id: 'a', path: 'a.jpg' };
    const million = await dryRun(1_000_000, image, { 'x-images-left': '1000000' });
    // 4 vCPUs and 8 GiB of Fargate.
    const hours = 1_000_000 / 50.2 / 4 / 3600;
    expect(million).toMatchObject({ shards: 977, items: 1_000_000, machine: 'cpu', error: null });
    expect([million.estimate?.hours, million.estimate?.usd]).toEqual([
      expect.closeTo(hours, 6),
      expect.closeTo(hours * (4 * 0.03238 + 8 * 0.00356), 6),
    ]);
    const more = await dryRun(1_000_001, image, { 'x-images-left': '1000000' });
    expect(more).toMatchObject({ items: 1_000_001, error: { code: 'quota_exceeded' } });
  }, 300_000);

  test('of what could not be begun is refused as that would be', async () => {
    const opened = open();
    const file = await opened.files.create(
      { filename: 'a', purpose: 'batch', bytes: new Uint8Array([10]) },
      'ec_annaanna',
    );
    await expect(ask(opened, { input: { file_id: file.id } })).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('holds nothing to embed'),
      details: { param: 'input' },
    });
    await expect(ask(opened, { input: { prefix: 's3://elsewhere/photos' } })).rejects.toThrow('may not read');
    await expect(ask(opened, { ...BODY, dimensions: 100_000 })).rejects.toMatchObject({ code: 'invalid_dimensions' });
  });
});

describe('what a job is charged', () => {
  /** 1,024 texts of five tokens and 500 images: two shards. */
  const MIXED = {
    input: {
      items: Array.from({ length: 1524 }, (_, i) => {
        return { custom_id: `${i}`, ...(i < 1024 ? { text: 'a dog in the snow...' } : { image: 'AAAA' }) };
      }),
    },
  };
  const CHARGED = { 'x-job-images': '500', 'x-job-tokens': '5120' };

  function asking() {
    const opened = open();
    const ask = async (path: string, method = 'GET', body?: object) => {
      const headers = { 'x-owner': 'ec_annaanna', 'idempotency-key': 'monday' };
      const init = { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) };
      const response = await askHere(opened.service)(`/v1/${path}`, init);
      const counted = [...response.headers].filter(([name]) => name.startsWith('x-job'));
      return { report: (await response.json()) as JobReport, counted: Object.fromEntries(counted) };
    };
    return { ...opened, ask };
  }

  test('is all of it when it is begun, once under its key', async () => {
    const { ask } = asking();
    expect((await ask('jobs', 'POST', MIXED)).counted).toEqual(CHARGED);
    expect((await ask('jobs', 'POST', MIXED)).counted).toEqual({});
    const both = asking();
    const answers = await Promise.all([both.ask('jobs', 'POST', MIXED), both.ask('jobs', 'POST', MIXED)]);
    const counted = answers.map((answer) => answer.counted).filter((each) => 'x-job-images' in each);
    expect(counted).toEqual([CHARGED]);
  });

  test('is nothing while it could not be submitted, and all of it when it is', async () => {
    const { ask, batch } = asking();
    batch.breaks = 'before';
    await expect(ask('jobs', 'POST', MIXED)).rejects.toThrow('reset');
    expect((await ask('jobs', 'POST', MIXED)).counted).toEqual(CHARGED);
  });

  test('comes back where it is cancelled, for shards that are not finished, and once', async () => {
    const { ask, store } = asking();
    const { report } = await ask('jobs', 'POST', MIXED);
    await finish(store, report, 0);
    const cancelled = await ask(`jobs/${report.id}`, 'DELETE');
    expect(cancelled.report.status).toBe('cancelled');
    expect(cancelled.counted).toEqual({ 'x-job-images-returned': '500', 'x-job-tokens-returned': '0' });
    for (const method of ['DELETE', 'GET']) expect((await ask(`jobs/${report.id}`, method)).counted).toEqual({});
  });

  test('comes back where it failed, to whoever sees it; of a job that is completed nothing does', async () => {
    const failed = asking();
    const { report } = await failed.ask('jobs', 'POST', MIXED);
    failed.batch.job = { status: 'FAILED', reason: 'Host EC2 terminated', children: 0 };
    const seen = await failed.ask(`jobs/${report.id}`);
    expect([seen.report.status, seen.counted]).toEqual([
      'failed',
      { 'x-job-images-returned': '500', 'x-job-tokens-returned': '5120' },
    ]);
    const done = asking();
    const begun = (await done.ask('jobs', 'POST', MIXED)).report;
    for (const shard of [0, 1]) await finish(done.store, begun, shard);
    expect(await done.ask(`jobs/${begun.id}`)).toMatchObject({ report: { status: 'completed' }, counted: {} });
  });

  test('does not come back when its month is over', async () => {
    const { ask } = asking();
    const begun = (await ask('jobs', 'POST', MIXED)).report;
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 32 * 86_400_000 });
    try {
      const { report, counted } = await ask(`jobs/${begun.id}`);
      expect([report.status, counted]).toEqual([
        'expired',
        { 'x-job-images-returned': '0', 'x-job-tokens-returned': '0' },
      ]);
    } finally {
      vi.useRealTimers();
    }
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
