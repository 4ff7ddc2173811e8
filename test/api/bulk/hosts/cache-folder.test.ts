// Models that jobs name by digest: kept in a folder of the user's own, and whole whatever became of it meanwhile.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { folderOf } from '../../../../api/bulk/hosts/open.ts';
import { COMMAND, jobOf } from '../../../../api/bulk/service/ask.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { hexOf } from '../../../../contracts/src/keys.ts';
import { changed, filesByPath, publish, readModel } from '../../../support/registry.ts';
import { newFolder, writeTinyModel } from '../jobs.ts';

afterEach(() => vi.unstubAllEnvs());

async function published() {
  const model = changed(await readModel(writeTinyModel()), {});
  // The tiny model's manifest names one more, of nothing.
  const files = [...filesByPath(model)].filter(([path]) => path !== 'unused');
  const uri = `file://${newFolder('registry')}`;
  const digest = await publish(openStore(uri), model);
  const named = { ...COMMAND, id: `bulk_${'0'.repeat(16)}`, created_at: '2026-11-27T12:00:00.000Z' };
  const asked = { input: { prefix: 'file:///nowhere' }, sources: [] };
  const job = jobOf(asked, { manifest: model.manifest, digest }, named);
  return { digest, files, open: () => folderOf(job, { registry: uri }) };
}
const modeOf = (path: string) => statSync(path).mode & 0o777;

test('are in the folder that edge_clip uses, too, and are made whole where they are not what was published', async () => {
  const cache = newFolder('cache');
  vi.stubEnv('XDG_CACHE_HOME', cache);
  const { digest, files, open } = await published();
  const folder = await open();
  expect(folder).toBe(join(cache, 'edge-clip', hexOf(digest)));
  expect(modeOf(join(cache, 'edge-clip'))).toBe(0o700);
  const isWhole = () => {
    for (const [path, bytes] of files) expect(readFileSync(join(folder, path)).equals(bytes)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual([...files.map(([path]) => path), 'unused'].sort());
    expect(readdirSync(join(cache, 'edge-clip'))).toEqual([basename(folder)]);
  };
  isWhole();
  for (const [path, bytes] of files) {
    const other = Buffer.from(bytes);
    other[0] = 1 ^ (other[0] ?? 0);
    for (const hole of [undefined, Buffer.alloc(0), other]) {
      rmSync(join(folder, path));
      if (hole) writeFileSync(join(folder, path), hole);
      expect(await open()).toBe(folder);
      isWhole();
    }
  }
  // What is as it was is left alone.
  const written = () => statSync(join(folder, 'image.onnx'), { bigint: true }).ctimeNs;
  const before = written();
  await open();
  expect(written()).toBe(before);
});

test('are in a folder of this user below the temporary one where there is no home to write to', async () => {
  // A file in the place of a folder.
  vi.stubEnv('XDG_CACHE_HOME', join(import.meta.filename, 'cache'));
  const temporary = newFolder('tmp');
  vi.stubEnv('TMPDIR', temporary);
  const own = join(temporary, `edge-clip-${userInfo().uid}`);
  const { digest, open } = await published();
  for (const _ of [1, 2]) expect(await open()).toBe(join(own, hexOf(digest)));
  expect(modeOf(own)).toBe(0o700);
  rmSync(own, { recursive: true });
  mkdirSync(own);
  chmodSync(own, 0o777);
  await expect(open()).rejects.toThrow('set XDG_CACHE_HOME to a folder of your own');
});
