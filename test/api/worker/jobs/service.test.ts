// The service of bulk jobs in the Worker, in Node, whose regular expressions have no bound of their own as workerd's do.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createBatchService } from '../../../../api/worker/jobs/service.ts';
import { uploadFolders } from '../../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';

const MANIFEST = join(import.meta.dirname, '../../../../api/model/manifest.json');
const manifest = ModelManifest.parse(JSON.parse(readFileSync(MANIFEST, 'utf8')));
const absent = () => Promise.reject(new Error('it is not asked for'));

// At a time that grows with the square of their number, a million slashes would take ten minutes.
test('a prefix may end in slashes, and have many', async () => {
  const listed: string[] = [];
  const list = async (prefix: string) => {
    listed.push(prefix);
    return [{ key: `${prefix}a.jpg`, size: 1 }];
  };
  const { jobs } = createBatchService({
    store: { uri: 's3://bucket', get: absent, read: absent, put: absent, list },
    batch: {
      kinds: ['cpu'],
      submit: absent,
      find: absent,
      describe: absent,
      failedChildren: absent,
      terminate: absent,
    },
    current: async () => ({ manifest, digest: null }),
    background: () => {},
  });
  const [folder] = uploadFolders(null);
  const slashes = '/'.repeat(1_000_000);
  for (const [written, root] of [
    ['a//', 'a/'],
    [`${slashes}x`, `${slashes}x/`],
  ]) {
    const input = { prefix: `s3://bucket/${folder}/${written}` };
    expect(await jobs.plan({ input }, { owner: null, idempotencyKey: null })).toMatchObject({ items: 1 });
    expect(listed.at(-1) === `${folder}/${root}`).toBe(true);
  }
});
