// `npm run encode` as a user runs it: to its end, killed and started again, stopped, and refused with a sentence.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, describe, expect, test } from 'vitest';
import { BulkDone } from '../../../../contracts/src/bulk/job.ts';
import { BulkEvent } from '../../../../contracts/src/events.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { shardProcesses } from '../../../support/shard-processes.ts';
import { newFolder, resultsIn, writeImages, writeTinyModel } from '../jobs.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const ENCODE = join(ROOT, 'api/bulk/hosts/encode.ts');
const LOAD = join(ROOT, 'api/bulk/hosts/load.ts');
const COUNT = 240;
let [model, input] = ['', ''];
beforeAll(async () => {
  model = writeTinyModel();
  input = newFolder('in');
  await writeImages(input, COUNT);
});

interface Ended {
  code: number | null;
  events: BulkEvent[];
  errors: string;
}
/** `onEvent` is told of every event and of the process that runs. */
function run(words: string[], onEvent?: (event: BulkEvent, pid: number) => void): Promise<Ended> {
  const child = spawn(process.execPath, [ENCODE, ...words, '--model', model, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const events: BulkEvent[] = [];
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = BulkEvent.parse(JSON.parse(line));
    events.push(event);
    onEvent?.(event, child.pid ?? 0);
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, events, errors })));
}

const digestsIn = (output: string): string[] =>
  readdirSync(output)
    .filter((name) => name.endsWith('.done.json'))
    .flatMap((name) =>
      BulkDone.parse(JSON.parse(readFileSync(join(output, name), 'utf8'))).files.map(({ digest }) => digest),
    );

/** Of this folder. */
const shardsOf = (output: string): number[] => shardProcesses(output).map(({ pid }) => pid);

const OPTIONS = ['--shard-items', '16', '--format', 'jsonl,parquet'];

describe.runIf(process.platform === 'linux')('npm run encode', () => {
  test('killed shard by shard and as a whole, it goes on and leaves the bytes of a run that was left alone', async () => {
    const [alone, killed] = [newFolder('alone'), newFolder('killed')];
    const quiet = await run([input, alone, ...OPTIONS, '--workers', '2']);
    expect(quiet).toMatchObject({ code: 0, errors: '' });
    expect(quiet.events.at(-1)).toMatchObject({
      event: 'job',
      shards_done: 15,
      items_done: COUNT,
      items_failed: 0,
      seconds_left: 0,
    });

    let kills = 0;
    const first = await run([input, killed, ...OPTIONS, '--workers', '2'], (event, pid) => {
      if (event.event !== 'job') return;
      // First the shards' processes only, which are started again; then all of it.
      if (kills === 0 && event.shards_done >= 2) for (const each of shardsOf(killed)) process.kill(each, 'SIGKILL');
      else if (kills === 1 && event.shards_done >= 6) process.kill(pid, 'SIGKILL');
      else return;
      kills += 1;
    });
    expect(first.code).toBeNull();
    expect(kills).toBe(2);
    // Children of a killed parent end by themselves.
    await expect.poll(() => shardsOf(killed)).toEqual([]);
    const finished = digestsIn(killed).length / 3;
    expect(finished).toBeGreaterThanOrEqual(6);
    expect(finished).toBeLessThan(15);
    const second = await run([input, killed, ...OPTIONS, '--workers', '2']);
    expect(second.code).toBe(0);
    expect(digestsIn(killed)).toEqual(digestsIn(alone));
    const names = resultsIn(killed).map(({ custom_id }) => custom_id);
    expect(names).toEqual(readdirSync(input));
  });

  test('stops at a signal with exit code 75, and says what to do', async () => {
    const output = newFolder('out');
    // Once: a second signal ends the program at once.
    let asked = false;
    const stopped = await run([input, output, ...OPTIONS, '--workers', '1'], (_, pid) => {
      if (!asked) process.kill(pid, 'SIGTERM');
      asked = true;
    });
    expect(stopped.code).toBe(75);
    expect(stopped.errors).toContain('the same command goes on');
    expect(shardsOf(output)).toEqual([]);
  });

  test('goes on with the model that it began with only, also where another has its version and its space', async () => {
    const [few, output] = [newFolder('few'), newFolder('out')];
    await writeImages(few, 2);
    expect((await run([few, output])).code).toBe(0);
    // Another student of the same space, as distilling again makes it.
    const manifest = join(model, 'manifest.json');
    const before = readFileSync(manifest, 'utf8');
    const { text, ...rest } = ModelManifest.parse(JSON.parse(before));
    writeFileSync(manifest, JSON.stringify({ ...rest, text: { ...text, context_length: text.context_length + 1 } }));
    try {
      const { code, errors } = await run([few, output]);
      expect([code, errors]).toEqual([2, expect.stringContaining('holds another job')]);
    } finally {
      writeFileSync(manifest, before);
    }
    expect(await run([few, output])).toMatchObject({ code: 0, errors: '' });
    // Marks of a job whose own document was removed are not those of the next one.
    for (const name of ['job.json', 'plan.json']) rmSync(join(output, name));
    expect(await run([few, output])).toMatchObject({
      code: 2,
      errors: expect.stringContaining('holds what another job left, without its job.json'),
    });
  });

  test('a disk that is full ends it with what to do, and the same command goes on', async () => {
    const [few, output] = [newFolder('few'), newFolder('out')];
    await writeImages(few, 40);
    // A limit of 4 KiB for a file stands for it: both end a write in its middle.
    const words = [few, output, '--model', model, '--workers', '1'];
    const command = ['-c', 'ulimit -f 4; exec "$@"', 'bash', process.execPath, ENCODE, ...words];
    const full = spawnSync('bash', command, { encoding: 'utf8' });
    expect(full.status).toBe(1);
    expect(full.stderr).toMatch(/^a process died 4 times at the same shard, last with 1: .*EFBIG\)\n$/);
    expect(readdirSync(output).filter((name) => name.startsWith('part-'))).toEqual([]);
    expect(await run([few, output])).toMatchObject({ code: 0, errors: '' });
    expect(resultsIn(output)).toHaveLength(40);
  });

  test('called by npm, it and `npm run load` take paths from the folder that npm was called in', async () => {
    const folder = newFolder('user');
    mkdirSync(join(folder, 'photos'));
    await writeImages(join(folder, 'photos'), 2);
    const options = { cwd: ROOT, env: { ...process.env, INIT_CWD: folder }, encoding: 'utf8' } as const;
    const words = [ENCODE, 'photos', 'vectors', '--model', model];
    expect(spawnSync(process.execPath, words, options)).toMatchObject({ status: 0, stderr: '' });
    expect(resultsIn(join(folder, 'vectors'))).toHaveLength(2);
    const loaded = spawnSync(process.execPath, [LOAD, 'vectors', 'faiss:photos.faiss'], options);
    expect(loaded).toMatchObject({ status: 0, stderr: '' });
    expect(existsSync(join(folder, 'photos.faiss'))).toBe(true);
  });

  test('refuses another job in the same folder, and what it cannot do, with a sentence', async () => {
    const output = newFolder('out');
    const few = newFolder('few');
    await writeImages(few, 2);
    expect((await run([few, output, '--plan'])).code).toBe(0);
    const refused = async (...words: string[]) => {
      const { code, errors } = await run(words);
      expect(code).toBe(2);
      return errors;
    };
    expect(await refused(few, output, '--type', 'int8')).toContain('holds another job');
    expect(await refused(few, newFolder('out'), '--dimensions', '9')).toContain('a whole number from 1 to 8; not 9');
    expect(await refused(few, newFolder('out'), '--format', 'csv')).toContain(
      'one of jsonl, npy, safetensors, parquet',
    );
    expect(await refused('https://example.org/a', newFolder('out'))).toContain('can be read and written');
    expect(await refused('r2://photos', newFolder('out'))).toContain('R2_ENDPOINT');
    expect(await refused(few)).toContain('INPUT and OUTPUT are needed');
    writeFileSync(join(few, 'notes.txt'), '');
    expect(await refused(newFolder('empty'), newFolder('out'))).toContain('nothing to embed');
    // What is typed wrongly does not spoil the folder.
    const clean = newFolder('out');
    expect(await refused(`${few}s`, clean)).toContain(`there is no ${few}s`);
    expect(await refused(join(few, 'notes.txt'), clean)).toContain('notes.txt: give the folder of images, JSON lines');
    expect(await refused(newFolder('empty'), clean)).toContain('nothing to embed');
    const noLines = join(newFolder('lines'), 'none.jsonl');
    writeFileSync(noLines, '\r\n');
    expect(await refused(noLines, clean)).toContain('nothing to embed');
    expect(readdirSync(clean)).toEqual([]);
    expect((await run([few, clean, '--plan'])).code).toBe(0);
  });
});
