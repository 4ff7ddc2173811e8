// Jobs beside others: begun at one moment under one key, ended in another way meanwhile, listed beside one that cannot be read.
import { text } from 'node:stream/consumers';
import { expect, test, vi } from 'vitest';
import { currentModel } from '../../../../api/bulk/hosts/open.ts';
import { openPlace } from '../../../../api/bulk/places.ts';
import { openJobFolder } from '../../../../api/bulk/service/folder.ts';
import { createBulkService } from '../../../../api/bulk/service/routes.ts';
import { tellOfEnd } from '../../../../api/bulk/service/webhook.ts';
import { encodeDocument } from '../../../../api/registry/store.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import type { BulkDone } from '../../../../contracts/src/bulk/job.ts';
import { ownMachine } from '../../../../contracts/src/cloud/bulk-estimate.ts';
import { bulkFiles, bulkFolder } from '../../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../../contracts/src/schema-version.ts';
import { newFolder, writeTinyModel } from '../jobs.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

/** Jobs that are begun and cut into shards, which nobody encodes. */
function createService(store = openStore(`file://${newFolder('jobs')}`)) {
  const problems: string[] = [];
  const model = writeTinyModel();
  const service = createBulkService({
    store,
    runner: { planning: { open: openPlace, machines: { cpu: ownMachine(1) } }, submit() {}, cancel() {} },
    places: () => [],
    sources: () => [],
    current: () => currentModel({ model, registry: undefined }),
    onProblem: (sentence) => problems.push(sentence),
  });
  return { store, jobs: service.jobs, service, problems };
}

test('other bodies under the key of a job that is being begun put nothing into it', async () => {
  const { store, jobs } = createService();
  const bodyOf = (name: string) => ({
    input: { items: [{ custom_id: name, image: 'AAAA' }] },
    webhook: { url: `https://example.com/${name}`, secret: SECRET },
  });
  for (const key of ['monday', 'tuesday', 'wednesday']) {
    const names = ['one', 'two', 'three', 'four'];
    const begun = await Promise.allSettled(
      names.map((name) => jobs.create(bodyOf(name), { owner: null, idempotencyKey: key })),
    );
    const [first, ...others] = begun.flatMap((each, at) =>
      each.status === 'fulfilled' ? [{ name: names[at], id: each.value.id }] : [],
    );
    if (first === undefined) throw new Error('none was begun');
    expect(others).toEqual([]);
    expect(begun.filter(({ status }) => status === 'rejected')).toHaveLength(3);

    const job = openJobFolder(store, bulkFolder(first.id));
    const planned = await (await job.get(bulkFiles(0).lines))?.text();
    expect(planned).toContain(`"custom_id":"${first.name}"`);
    await jobs.cancel(first.id, null);
    const told: string[] = [];
    await tellOfEnd(job, {
      async send(url) {
        told.push(url);
        return new Response();
      },
    });
    expect(told).toEqual([`https://example.com/${first.name}`]);
  }
});

/** A job of one shard, and what it leaves when that is finished. */
async function beginJob() {
  const { store, jobs } = createService();
  const input = { items: [{ custom_id: 'one', image: 'AAAA' }] };
  const { id } = await jobs.create({ input }, { owner: null, idempotencyKey: null });
  const job = openJobFolder(store, bulkFolder(id));
  const finish = async (at: number): Promise<void> => {
    const done: BulkDone = {
      schema_version: SCHEMA_VERSION,
      job: id,
      shard: 0,
      space_id: `sha256:${'0'.repeat(64)}`,
      items: 1,
      succeeded: 1,
      failed: 0,
      seconds: 1,
      at: new Date(at).toISOString(),
      files: [{ path: bulkFiles(0).part('jsonl'), digest: `sha256:${'0'.repeat(64)}`, size: 1 }],
    };
    await job.put(bulkFiles(0).done, encodeDocument(done));
  };
  return { finish, cancel: () => jobs.cancel(id, null), get: () => jobs.get(id, null) };
}

test.each([
  ['before', 'completed'],
  ['after', 'cancelled'],
])('a job whose last shard was finished %s it was cancelled is %s', async (when, status) => {
  const { finish, cancel, get } = await beginJob();
  if (when === 'before') await finish(Date.now());
  await cancel();
  if (when === 'after') await finish(Date.now() + 1000);
  expect((await get()).status).toBe(status);
});

test.each([
  ['before', 'completed', -1000],
  ['after', 'expired', 2000],
])('a job whose last shard was finished %s it expired is %s', async (_, status, behindMs) => {
  const { finish, get } = await beginJob();
  const end = 1000 * ((await get()).expires_at ?? Number.NaN);
  if (behindMs < 0) await finish(end + behindMs);
  vi.useFakeTimers({ now: end + 1000, toFake: ['Date'] });
  try {
    expect((await get()).status).toBe(status);
    if (behindMs > 0) await finish(end + behindMs);
    const { status: told, ended_at } = await get();
    expect([told, ended_at]).toEqual([status, Math.min(end, end + behindMs) / 1000]);
  } finally {
    vi.useRealTimers();
  }
});

/** As a release of before left it, or a disk. */
const OTHERS = ['{"schema_version": 0}', '{"schema_ver'];

test.each(['job', 'batch', 'file'] as const)(
  'a %s that cannot be read keeps no other from being listed',
  async (kind) => {
    const { store, service, problems } = createService();
    const asker = { owner: null, idempotencyKey: null };
    const send = (name: string) => {
      const line = { custom_id: name, method: 'POST', url: '/v1/embeddings', body: { model: 'tiny', input: name } };
      const sent = { filename: name, purpose: 'batch', bytes: Buffer.from(JSON.stringify(line)) };
      return service.files.create(sent, null);
    };
    const make = {
      job: () => service.jobs.create({ input: { items: [{ custom_id: 'one', image: 'AAAA' }] } }, asker),
      file: () => send('one'),
      batch: async () => {
        const { id } = await send('one');
        const asked = { input_file_id: id, endpoint: '/v1/embeddings', completion_window: '24h' };
        return service.batches.create(asked, asker);
      },
    }[kind];
    const list = { job: service.jobs.list, file: service.files.list, batch: service.batches.list }[kind];
    const ids: string[] = [];
    for (let at = 0; at < 4; at++) ids.unshift((await make()).id);
    const [newest, second, third, oldest] = ids;
    const listed = async (asked: { limit?: number; after?: string }) => {
      const { data, has_more } = await list(null, asked);
      return [data.map(({ id }) => id).sort(), has_more];
    };
    const keyOf = (id = '') => (kind === 'file' ? `job-inputs/${id}/file.json` : `${bulkFolder(id)}/job.json`);
    expect(await store.get(keyOf(third))).toBeDefined();
    for (const [at, other] of OTHERS.entries()) await store.put(keyOf([second, third][at]), Buffer.from(other));
    expect(await listed({})).toEqual([[newest, oldest].sort(), false]);
    expect(problems).toHaveLength(2);
    for (const id of [second, third])
      expect(problems.join(' ')).toContain(`${store.uri}/${keyOf(id)} is not what a bulk job leaves there`);
    // Pages are as long as they were asked to be.
    const page = await list(null, { limit: 1 });
    expect([page.data.length, page.has_more]).toEqual([1, true]);
    await expect(list(null, { after: third ?? '' })).rejects.toMatchObject({ code: 'not_found' });
    // Asked for by its id it is not there, either.
    const get = { job: service.jobs.get, file: service.files.get, batch: service.batches.get }[kind];
    await expect(get(third ?? '', null)).rejects.toMatchObject({ code: 'not_found' });

    const broken = { ...store, get: () => Promise.reject(new Error('the store is down')) };
    const { service: without } = createService(broken);
    const down = { job: without.jobs.list, file: without.files.list, batch: without.batches.list }[kind];
    await expect(down(null, {})).rejects.toThrow('the store is down');
  },
);

test.each(OTHERS)(
  'an upload that cannot be read is not there for its owner, and told in the log (%s)',
  async (other) => {
    const { store, service, problems } = createService();
    const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: 1, mime_type: 'application/jsonl' };
    const { id } = await service.uploads.begin(asked, null);
    const key = `job-inputs/${id}/upload.json`;
    expect(await store.get(key)).toBeDefined();
    await store.put(key, Buffer.from(other));
    await expect(service.uploads.add(id, Buffer.from('x'), null)).rejects.toMatchObject({ code: 'not_found' });
    expect(problems.join(' ')).toContain(`${store.uri}/${key} is not what a bulk job leaves there`);
  },
);

test('an upload that is completed takes no part, which would be in no file', async () => {
  const { uploads } = createService().service;
  const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: 1, mime_type: 'application/jsonl' };
  const { id } = await uploads.begin(asked, null);
  const part_ids = [(await uploads.add(id, Buffer.from('x'), null)).id];
  const { file } = await uploads.complete(id, { part_ids }, null);
  await expect(uploads.add(id, Buffer.from('y'), null)).rejects.toMatchObject({
    code: 'invalid_request',
    message: `The upload ${id} was completed: begin another one.`,
  });
  expect((await uploads.complete(id, { part_ids }, null)).file).toEqual(file);
});

test('an id of 8,000 characters, and as long a list of parts, are told of by their beginning', async () => {
  const { uploads, jobs, files } = createService().service;
  const long = 'x'.repeat(8000);
  const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: 1, mime_type: 'application/jsonl' };
  const { id } = await uploads.begin(asked, null);
  const refusals = await Promise.allSettled([
    uploads.cancel(long, null),
    uploads.complete(id, { part_ids: [long] }, null),
    jobs.get(long, null),
    files.get(long, null),
  ]);
  for (const refusal of refusals) {
    expect(String(refusal.status === 'rejected' && refusal.reason.message)).toMatch(/^.{0,40}"x{60}…"/);
  }
});

test.each(['complete', 'cancel'] as const)(
  'an upload is completed or cancelled, and never both, where the other comes just as %s writes',
  async (first) => {
    const store = openStore(`file://${newFolder('jobs')}`);
    let before: (() => Promise<void>) | undefined;
    const put: typeof store.put = async (...written) => {
      const between = before;
      before = undefined;
      await between?.();
      return store.put(...written);
    };
    const { uploads, files } = createService({ ...store, put }).service;
    const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: 1, mime_type: 'application/jsonl' };
    const { id } = await uploads.begin(asked, null);
    const part_ids = [(await uploads.add(id, Buffer.from('x'), null)).id];
    const doings = {
      complete: () => uploads.complete(id, { part_ids }, null),
      cancel: () => uploads.cancel(id, null),
    };
    const second = first === 'complete' ? 'cancel' : 'complete';
    let other: PromiseSettledResult<unknown> | undefined;
    before = async () => {
      [other] = await Promise.allSettled([doings[second]()]);
    };
    const [one] = await Promise.allSettled([doings[first]()]);
    const ended = { [first]: one, [second]: other };

    expect(ended.cancel).toMatchObject({ status: 'fulfilled' });
    const done = await uploads.cancel(id, null);
    if (done.status === 'cancelled') {
      expect(ended.complete).toMatchObject({ status: 'rejected', reason: { code: 'invalid_request' } });
      expect((await files.list(null, {})).data).toEqual([]);
    } else {
      expect(done).toMatchObject({ status: 'completed', file: { bytes: 1 } });
      expect(ended).toMatchObject({ complete: { status: 'fulfilled' }, cancel: { value: { status: 'completed' } } });
      const { stream } = await files.content(done.file?.id ?? '', null);
      expect(await text(stream({ from: 0, to: 1 }))).toBe('x');
    }
  },
);

test('an upload that was completed takes no part and is not cancelled once its file is deleted', async () => {
  const { uploads, files } = createService().service;
  const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: 1, mime_type: 'application/jsonl' };
  const { id } = await uploads.begin(asked, null);
  const part_ids = [(await uploads.add(id, Buffer.from('x'), null)).id];
  const { file } = await uploads.complete(id, { part_ids }, null);
  await files.remove(file?.id ?? '', null);
  await expect(uploads.add(id, Buffer.from('y'), null)).rejects.toMatchObject({ code: 'invalid_request' });
  expect(await uploads.cancel(id, null)).toMatchObject({ status: 'completed' });
});
