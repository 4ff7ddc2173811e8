// Requests that come at the same moment under one Idempotency-Key: one begins its job, with nothing of the others in it.
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
function createService() {
  const store = openStore(`file://${newFolder('jobs')}`);
  const model = writeTinyModel();
  const service = createBulkService({
    store,
    runner: { planning: { open: openPlace, machines: { cpu: ownMachine(1) } }, submit() {}, cancel() {} },
    places: () => [],
    sources: () => [],
    current: () => currentModel({ model, registry: undefined }),
  });
  return { store, jobs: service.jobs };
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
