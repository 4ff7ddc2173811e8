// The session of the image tower at its end: what runs is finished, what comes later is refused in words.
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
