// Files of bulk jobs downloaded from the local server with curl: with their length, and on from where they were cut off.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OpenAiFile } from '../../contracts/src/api/doors/batches.ts';
import { JobReport } from '../../contracts/src/api/tasks/jobs.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const LINES = '{"custom_id":"a","text":"a dog"}\n'.repeat(20_000);
let server: LocalServer;
let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downloads-'));
  server = await startLocalServer({ jobs: join(folder, 'jobs') });
}, 300_000);
afterAll(() => server?.stop());

const curl = async (...words: string[]) => (await promisify(execFile)('curl', ['-sS', '--fail', ...words])).stdout;

async function expectResumable(path: string, whole: string): Promise<void> {
  const url = `${server.url}${path}`;
  expect(await curl('-I', url)).toMatch(new RegExp(`^content-length: ${whole.length}\r$`, 'im'));
  const response = await fetch(url);
  expect([response.headers.get('content-length'), await response.text()]).toEqual([String(whole.length), whole]);
  const file = join(folder, 'download');
  writeFileSync(file, whole.slice(0, whole.length / 3));
  await curl('-C', '-', '-o', file, url);
  expect(readFileSync(file, 'utf8')).toBe(whole);
}

test('a file that was sent', async () => {
  const form = new FormData();
  form.set('purpose', 'batch');
  form.set('file', new Blob([LINES]), 'lines.jsonl');
  const sent = await fetch(`${server.url}/v1/files`, { method: 'POST', body: form });
  const { id } = OpenAiFile.parse(await sent.json());
  await expectResumable(`/v1/files/${id}/content`, LINES);
});

test('a file that a job has left', async () => {
  const items = Array.from({ length: 20 }, (_, at) => ({ custom_id: `${at}`, text: `dog ${at}` }));
  const begun = await fetch(`${server.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: { items } }),
  });
  const { id } = JobReport.parse(await begun.json());
  const report = async () => JobReport.parse(await (await fetch(`${server.url}/v1/jobs/${id}`)).json());
  await expect.poll(async () => (await report()).ended_at, { timeout: 200_000, interval: 500 }).not.toBeNull();
  const [file] = (await report()).files;
  const whole = readFileSync(join(folder, 'jobs', 'jobs', id, file?.path ?? ''), 'utf8');
  expect(whole.length).toBe(file?.size);
  await expectResumable(`/v1/jobs/${id}/files/${file?.path}`, whole);
}, 300_000);
