// Files that are not whole yet: those of a process that was killed go with the next one that writes there, those of a living one stay.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { beforeEach, expect, test } from 'vitest';
import { removeLeft, temporaryOf } from '../../../../api/registry/stores/processes.ts';

const moduleAt = (path: string): string => pathToFileURL(join(import.meta.dirname, '../../../..', path)).href;

/** What a program writes: a beginning, and the rest when it is told to. */
const SLOWLY = `
async function* slowly() {
  yield Buffer.from('begin');
  if (process.argv[3] === 'wait') {
    console.log('writing');
    await new Promise((go) => process.stdin.once('data', go));
  }
  yield Buffer.from('ning');
}`;
const DIGEST = createHash('sha256').update('beginning').digest('hex');

/** Each writes into the folder that it is told. */
const WRITERS = {
  'a registry in a folder': `
import { openStore } from '${moduleAt('api/registry/stores/open.ts')}';
${SLOWLY}
await openStore('file://' + process.argv[2]).put(process.argv[4], { size: 9, stream: slowly });
process.exit();`,
  'the copy of a published model': `
import { download } from '${moduleAt('api/encoder/model-cache.ts')}';
${SLOWLY}
const file = { path: 'image.onnx', digest: 'sha256:${DIGEST}', size: 9 };
const stored = { digest: 'sha256:' + process.argv[4], bytes: Buffer.from('{}'), manifest: { image: { graph: { file } } } };
await download({ uri: 'file:///', get: async () => ({ size: 9, etag: '', stream: slowly }) }, stored, process.argv[2]);
process.exit();`,
};

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edge-clip-temporary-'));
});

/** A program that writes `name`; with 'wait', it has begun and goes on when it is told. */
async function writing(program: string, how: 'wait' | 'whole', name: string) {
  const file = join(mkdtempSync(join(tmpdir(), 'edge-clip-program-')), 'program.mjs');
  writeFileSync(file, program);
  const child = spawn(process.execPath, [file, folder, how, name], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (how === 'whole') await ended;
  else await new Promise((begun) => createInterface({ input: child.stdout }).once('line', begun));
  return {
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async finish() {
      child.stdin.write('go\n');
      await ended;
    },
  };
}

/** As digests name models. */
const [ONE = '', TWO = '', THREE = ''] = ['1', '2', '3'].map((digit) => digit.repeat(64));
const unfinished = (): string[] => readdirSync(folder).filter((name) => ![ONE, TWO, THREE].includes(name));

test.each(Object.entries(WRITERS))('%s keeps nothing of a writer that was killed', async (_, program) => {
  const dead = await writing(program, 'wait', ONE);
  const living = await writing(program, 'wait', TWO);
  expect(unfinished()).toHaveLength(2);
  await dead.kill();
  await writing(program, 'whole', THREE);
  expect(readdirSync(folder)).toContain(THREE);
  expect(unfinished()).toEqual([expect.stringMatching(`^${TWO}\\.`)]);
  await living.finish();
  expect(readdirSync(folder).sort()).toEqual([TWO, THREE]);
});

test('a process whose number was given out again is gone, and one elsewhere when it has not written for a day', () => {
  const own = temporaryOf(join(folder, 'own'));
  const again = own.replace(/\.(\d+)-\d+-/, '.$1-1-');
  const elsewhere = (name: string): string => join(folder, `${name}.1-1-00000000-00000000.tmp`);
  const people = ['draft.tmp', 'notes.1-2.tmp'].map((name) => join(folder, name));
  for (const file of [own, again, elsewhere('new'), elsewhere('old'), ...people]) writeFileSync(file, '');
  mkdirSync(elsewhere('older'));
  const past = new Date(Date.now() - 25 * 3_600_000);
  for (const file of [elsewhere('old'), elsewhere('older'), ...people]) utimesSync(file, past, past);
  removeLeft(folder);
  expect(readdirSync(folder).sort()).toEqual([own, elsewhere('new'), ...people].map((file) => basename(file)).sort());
  expect(readFileSync(own, 'utf8')).toBe('');
  removeLeft(join(folder, 'missing'));
});
