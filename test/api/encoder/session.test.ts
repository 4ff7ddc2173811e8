// The session of the image tower: what runs is finished before its end, what comes later is refused in words, and CUDA is had or refused.
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSession, readManifest } from '../../../api/encoder/session.ts';

const MODEL = join(import.meta.dirname, '../../../api/model');

test('lets the batch that runs finish before it closes, and refuses every later one', async () => {
  const manifest = await readManifest(MODEL);
  const session = await openSession(MODEL, manifest, { threads: 1 });
  const { size } = manifest.image.preprocess;
  const picture = new Float32Array(3 * size * size);
  const running = session.run([picture]);
  const closing = session.close();
  expect((await running)[0]).toHaveLength(manifest.embed_dim);
  await closing;
  await expect(session.run([picture])).rejects.toMatchObject({ code: 'encoder_unavailable' });
});

/** The half of CUDA that onnxruntime loads: its package comes without, unless it was installed for a GPU. */
const CUDA = globSync('node_modules/onnxruntime-node/bin/**/libonnxruntime_providers_cuda.so').length > 0;

test.skipIf(CUDA)(
  'where CUDA is asked for and cannot be had, no session opens on processors in its place',
  async () => {
    const opening = openSession(MODEL, await readManifest(MODEL), { threads: 1, provider: 'cuda' });
    await expect(opening).rejects.toThrow(/Cuda/);
  },
);
