// `npm start` with a bulk job under way, of which one process after the other is killed: the job ends with the same bytes.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { packTar } from 'modern-tar';
import { afterAll, expect, test } from 'vitest';
import { JobReport } from '../../contracts/src/api/tasks/jobs.ts';
import { BulkDone } from '../../contracts/src/bulk/job.ts';
import { newFolder, writeImages } from '../api/bulk/jobs.ts';
import { alive, commandOf, treeOf } from '../support/process-tree.ts';

const ROOT = join(import.meta.dirname, '../..');
const WAIT = { timeout: 150_000, interval: 50 };
/** A tar is a shard. */
const [SHARDS, IMAGES] = [16, 4];

const started: number[] = [];
afterAll(() => {
  for (const pid of alive(started)) process.kill(pid, 'SIGKILL');
});

async function writeTars(folder: string): Promise<string[]> {
  const images = newFolder('images');
  await writeImages(images, SHARDS * IMAGES);
  const names = readdirSync(images).sort();
  const paths = Array.from({ length: SHARDS }, (_, at) => join(folder, `${at}.tar`));
  for (const [at, path] of paths.entries()) {
    const entries = names.slice(at * IMAGES, (at + 1) * IMAGES).map((name) => {
      const body = readFileSync(join(images, name));
      return { header: { name, size: body.length, type: 'file' as const }, body };
    });
    writeFileSync(path, await packTar(entries));
  }
  return paths;
}

interface Server {
  child: ChildProcess;
  url: string;
  processes(): number[];
}

/** Resolves when the model is ready. */
async function start(jobs: string, source: string): Promise<Server> {
  const words = ['--port', '0', '--jobs', jobs, '--job-source', source, '--registry', newFolder('none')];
  const child = spawn(process.execPath, [join(ROOT, 'api/dev/serve.ts'), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((ready, fail) => {
    child.once('exit', (code) => fail(new Error(`the server ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = / is ready on (http:\S+)$/.exec(line)?.[1];
      if (found) ready(found);
    });
  });
  child.removeAllListeners('exit');
  const processes = () => {
    const tree = treeOf(child.pid ?? 0);
    started.push(...tree);
    return tree;
  };
  processes();
  return { child, url, processes };
}

const marksIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.done.json'))
    .sort();
const digestsIn = (folder: string): string[] =>
  marksIn(folder).flatMap((name) =>
    BulkDone.parse(JSON.parse(readFileSync(join(folder, name), 'utf8'))).files.map(({ digest }) => digest),
  );

test('the image encoder and then all of the server are killed in mid-job: it ends after the next start', async () => {
  const [source, jobs, alone] = [newFolder('tars'), newFolder('jobs'), newFolder('out')];
  const tars = await writeTars(source);
  const first = await start(jobs, source);
  const { id } = await create(first.url, tars);
  const folder = join(jobs, 'jobs', id);
  const done = () => marksIn(folder).length;

  await expect.poll(done, WAIT).toBeGreaterThanOrEqual(1);
  const encoder = first.processes().find((pid) => commandOf(pid).includes('encoder/hosts/server.ts')) ?? 0;
  process.kill(encoder, 'SIGKILL');
  const before = done();
  await expect.poll(done, WAIT).toBeGreaterThan(before);

  const everything = first.processes();
  const shard = everything.find((pid) => commandOf(pid).includes('hosts/shard.ts')) ?? 0;
  first.child.kill('SIGKILL');
  await expect.poll(() => alive(everything), WAIT).toEqual([]);
  const left = done();
  expect([shard > 0, left < SHARDS]).toEqual([true, true]);

  const second = await start(jobs, source);
  const read = async () => JobReport.parse(await (await fetch(`${second.url}/v1/jobs/${id}`)).json());
  await expect.poll(async () => (await read()).ended_at, WAIT).not.toBeNull();
  const total = SHARDS * IMAGES;
  expect(await read()).toMatchObject({ status: 'completed', request_counts: { total, completed: total, failed: 0 } });
  second.child.kill('SIGTERM');

  const encode = join(ROOT, 'api/bulk/hosts/encode.ts');
  await promisify(execFile)(process.execPath, [encode, ...tars, alone, '--workers', '1']);
  expect(digestsIn(folder)).toEqual(digestsIn(alone));
}, 400_000);

async function create(url: string, tars: string[]): Promise<JobReport> {
  const response = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: { tars: tars.map((path) => `file://${path}`) } }),
  });
  return JobReport.parse(await response.json());
}
