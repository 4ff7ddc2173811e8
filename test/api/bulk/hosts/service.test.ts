// The service of bulk jobs by itself: jobs of its own processes, keys that name a job, owners, places, and restarts.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text as textOf } from 'node:stream/consumers';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { OpenAiFileList } from '../../../../contracts/src/api/doors/batches.ts';
import { OpenAiUpload, OpenAiUploadPart } from '../../../../contracts/src/api/doors/uploads.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { JobDryRun, JobList, JobReport } from '../../../../contracts/src/api/tasks/jobs.ts';
import { IMAGES, newFolder, resultsIn, writeImages, writeLines, writeTinyModel } from '../jobs.ts';

const SERVICE = join(import.meta.dirname, '../../../../api/bulk/hosts/service.ts');
let model = '';
let running: ChildProcess[] = [];
beforeAll(() => {
  model = writeTinyModel();
});
afterEach(async () => {
  await Promise.all(running.map(ended));
  running = [];
});

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

interface Sent {
  method?: string;
  body?: unknown;
  owner?: string;
  key?: string;
  /** Images that its key may still ask for. */
  left?: number;
}

async function start(store: string, words: string[] = []) {
  const child = spawn(process.execPath, [SERVICE, store, '--model', model, '--workers', '1', ...words], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  const port = await new Promise<number>((listening) => {
    createInterface({ input: child.stdout }).on('line', (line) => listening(JSON.parse(line).port));
  });
  const send = async (path: string, { method, body, owner = '', key, left }: Sent = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/${path}`, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: {
        'x-owner': owner,
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(left === undefined ? {} : { 'x-images-left': String(left) }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { status: response.status, json: (await response.json()) as unknown };
  };
  const report = async (id: string, owner = '') => JobReport.parse((await send(`jobs/${id}`, { owner })).json);
  const create = async (body: object, more: Sent = {}) => JobReport.parse((await send('jobs', { body, ...more })).json);
  const refused = async (path: string, sent: Sent) => {
    const { status, json } = await send(path, sent);
    const { code, detail, error } = ErrorBody.parse(json);
    return { status, code, detail, param: error.param };
  };
  const untilEnded = async (id: string) => {
    await expect.poll(async () => (await report(id)).ended_at, { timeout: 50_000 }).not.toBeNull();
    return report(id);
  };
  return { child, port, send, report, create, refused, untilEnded };
}

const inline = { input: { items: [{ custom_id: 'a', image: 'AAAA' }] } };

describe('the service of bulk jobs', () => {
  test('runs a job, and after a kill goes on with it as if nothing had been', async () => {
    const input = newFolder('in');
    await writeImages(input, 60);
    const [store, quiet] = [newFolder('jobs'), newFolder('jobs')];
    const body = { input: { prefix: `file://${input}` } };
    const words = ['--source', input];
    const killed = await start(store, words);
    const { id } = await killed.create(body);
    killed.child.kill('SIGKILL');
    await ended(killed.child);
    const again = await start(store, words);
    const report = await again.untilEnded(id);
    expect(report).toMatchObject({ status: 'completed', request_counts: { total: 60, completed: 60, failed: 0 } });
    expect(resultsIn(join(store, 'jobs', id)).map(({ custom_id }) => custom_id)).toEqual(readdirSync(input));
    const other = await start(quiet, words);
    const alone = await other.untilEnded((await other.create(body)).id);
    expect(report.files).toEqual(alone.files);
  });

  test('starts beside a job that cannot be read, and goes on with the others', async () => {
    const store = newFolder('jobs');
    const first = await start(store);
    const { id } = await first.create(inline);
    await first.untilEnded(id);
    first.child.kill('SIGKILL');
    await ended(first.child);
    const damaged = join(store, 'jobs', `job_${'0'.repeat(24)}`);
    mkdirSync(damaged);
    writeFileSync(join(damaged, 'job.json'), '{"schema_version": 0}');
    const again = await start(store);
    expect((await again.report(id)).status).toBe('completed');
    const next = await again.create(inline);
    expect((await again.untilEnded(next.id)).status).toBe('completed');
  });

  test('a list of files goes on behind one that was deleted, for its owner', async () => {
    const { send, refused } = await start(newFolder('jobs'));
    const page = async (query: string) => OpenAiFileList.parse((await send(`files?limit=1${query}`, mine)).json);
    const mine = { owner: 'ec_somebody' };
    for (const name of ['1', '2', '3']) await send(`files?purpose=batch&filename=${name}`, { ...mine, body: name });
    const found: string[] = [];
    // As the pages of OpenAI's SDK are walked through to delete all of them.
    for (let [at, after] = [0, '']; at < 4; at++) {
      const { data, has_more, last_id } = await page(after);
      found.push(...data.map(({ filename }) => filename));
      for (const { id } of data) await send(`files/${id}`, { ...mine, method: 'DELETE' });
      after = `&after=${last_id}`;
      const other = { owner: 'ec_other000', method: 'GET' };
      expect(await refused(`files?${after}`, other)).toMatchObject({ status: 404, param: 'after' });
      if (!has_more) break;
    }
    expect(found).toEqual(['3', '2', '1']);
    expect(await page('')).toMatchObject({ data: [], has_more: false });
  });

  test('an idempotency key names a job: the same request answers it, another one is refused', async () => {
    const { create, refused, send } = await start(newFolder('jobs'));
    const first = await create(inline, { key: 'monday' });
    expect((await create(inline, { key: 'monday' })).id).toBe(first.id);
    expect((await create(inline, { key: 'tuesday' })).id).not.toBe(first.id);
    expect((await create(inline, { key: 'monday', owner: 'ec_somebody' })).id).not.toBe(first.id);
    const other = { ...inline, type: 'int8' };
    expect(await refused('jobs', { body: other, key: 'monday' })).toMatchObject({
      status: 400,
      code: 'invalid_request',
    });
    expect(JobList.parse((await send('jobs')).json).data).toHaveLength(2);
  });

  test('a job is seen, cancelled and read by its owner alone', async () => {
    const { create, refused, send } = await start(newFolder('jobs'));
    const owner = 'ec_abcdefgh';
    const { id } = await create(inline, { owner });
    for (const method of ['GET', 'DELETE']) {
      expect(await refused(`jobs/${id}`, { method })).toMatchObject({ status: 404, code: 'not_found' });
    }
    expect(JobList.parse((await send('jobs')).json).data).toEqual([]);
    expect(JobReport.parse((await send(`jobs/${id}`, { owner })).json).id).toBe(id);
    const { data, has_more } = JobList.parse((await send('jobs?limit=1', { owner })).json);
    expect([data.map((job) => job.id), has_more]).toEqual([[id], false]);
    for (const query of ['limit=0', 'limit=many', 'page=2'])
      expect((await refused(`jobs?${query}`, { owner })).status).toBe(400);
    expect(await refused(`jobs/${id}/files/..%2F..%2Fjob.json`, { owner })).toMatchObject({ code: 'not_found' });
  });

  test('a job beyond what its key may still ask for is refused, whatever it lies in', async () => {
    const input = newFolder('in');
    await writeImages(input, 3);
    const { create, refused, untilEnded } = await start(newFolder('jobs'), ['--source', input]);
    expect(await refused('jobs', { body: inline, left: 0 })).toMatchObject({
      status: 429,
      code: 'quota_exceeded',
      detail:
        'The job has 1 images, and its API key may ask for 0 more this month: send fewer, or ask for a larger quota.',
    });
    const prefix = { input: { prefix: `file://${input}` } };
    const over = await refused('jobs', { body: prefix, left: 2 });
    expect(over).toMatchObject({
      status: 429,
      code: 'quota_exceeded',
      detail: expect.stringMatching(/3 images, .* 2 more/),
    });
    const begun = await create(prefix, { left: 3 });
    expect(begun.estimate).toMatchObject({ images: 3, tokens: 0, usd: null });
    expect((await untilEnded(begun.id)).status).toBe('completed');
  });

  test('takes a file in parts, which may be cut inside of a line, and embeds it as one', async () => {
    const { send, create, refused, untilEnded, port } = await start(newFolder('jobs'));
    const text = `${JSON.stringify({ custom_id: 'a', image: 'AAAA' })}\n${JSON.stringify({ custom_id: 'b', text: ' ' })}\n`;
    const asked = { filename: 'lines.jsonl', purpose: 'batch', bytes: text.length, mime_type: 'text/plain' };
    const upload = OpenAiUpload.parse((await send('uploads', { body: asked })).json);
    expect([upload.status, upload.file]).toEqual(['pending', null]);
    const partOf = async (content: string) => {
      const url = `http://127.0.0.1:${port}/v1/uploads/${upload.id}/parts`;
      const response = await fetch(url, { method: 'POST', body: content });
      return OpenAiUploadPart.parse(await response.json()).id;
    };
    const [second, first] = [await partOf(text.slice(30)), await partOf(text.slice(0, 30))];
    const complete = (part_ids: string[], owner = '') => ({ body: { part_ids }, owner });
    for (const parts of [[first], [first, first], [first, 'part_0123456789abcdef']]) {
      const answer = await refused(`uploads/${upload.id}/complete`, complete(parts));
      expect(answer).toMatchObject({ code: 'invalid_request', param: 'part_ids' });
    }
    const theirs = await refused(`uploads/${upload.id}/complete`, complete([first, second], 'ec_somebody'));
    expect(theirs.code).toBe('not_found');
    const completed = OpenAiUpload.parse((await send(`uploads/${upload.id}/complete`, complete([first, second]))).json);
    expect(completed).toMatchObject({ status: 'completed', file: { filename: 'lines.jsonl', bytes: text.length } });
    const again = OpenAiUpload.parse((await send(`uploads/${upload.id}/complete`, complete([first, second]))).json);
    expect(again).toEqual(completed);
    const { id } = await create({ input: { file_id: completed.file?.id } });
    expect(await untilEnded(id)).toMatchObject({ status: 'completed', request_counts: { total: 2, failed: 2 } });

    const other = OpenAiUpload.parse((await send('uploads', { body: asked })).json);
    const cancelled = OpenAiUpload.parse((await send(`uploads/${other.id}/cancel`, { method: 'POST' })).json);
    expect(cancelled.status).toBe('cancelled');
    expect((await refused(`uploads/${other.id}/complete`, complete([first]))).detail).toContain('cancelled');
  });

  test('reads no place that it was not told of, and says what there is instead', async () => {
    const { refused } = await start(newFolder('jobs'), ['--source', IMAGES]);
    const rows = [
      { input: { prefix: 'file:///etc' } },
      { input: { prefix: `file://${IMAGES}/..` } },
      { input: { prefix: `file://${IMAGES}-other` } },
      { input: { jsonl: 's3://somebody/else.jsonl' } },
      { input: { tars: ['file:///set.tar'] } },
    ];
    for (const body of rows) {
      const answer = await refused('jobs', { body });
      expect(answer).toMatchObject({ status: 400, code: 'invalid_request', param: 'input' });
      expect(answer.detail).toContain('Send items or a file');
    }
    const wrong: [object, string][] = [
      [{ ...inline, dimensions: 9 }, 'invalid_dimensions'],
      [{ ...inline, model: 'gpt' }, 'model_not_found'],
      [{ ...inline, priority: 'high' }, 'unknown_key'],
      [{ input: { file_id: 'file_0123456789abcdef' } }, 'not_found'],
    ];
    for (const [body, code] of wrong) expect((await refused('jobs', { body })).code).toBe(code);
    const [item] = inline.input.items;
    const twice = { body: { input: { items: [item, { custom_id: 'b', text: 'b' }, item] } } };
    for (const path of ['jobs', 'jobs?dry_run=1'])
      expect(await refused(path, twice)).toMatchObject({
        code: 'invalid_request',
        param: 'input.items.2.custom_id',
        detail: expect.stringContaining('of input.items.0'),
      });
  });

  test('a file that there is not is blamed on the field that names it', async () => {
    const { refused } = await start(newFolder('jobs'));
    const file = 'file_0123456789abcdef';
    expect(await refused('jobs', { body: { input: { file_id: file } } })).toMatchObject({ param: 'input.file_id' });
    const body = { input_file_id: file, endpoint: '/v1/embeddings', completion_window: '24h' };
    expect(await refused('batches', { body })).toMatchObject({ code: 'not_found', param: 'input_file_id' });
  });

  test('plans 10,000 shards, and refuses the one that no array job has a child for', async () => {
    const input = newFolder('in');
    const { send } = await start(newFolder('jobs'), ['--source', input]);
    // A tar is a shard.
    const dryRun = async (tars: number) => {
      const jsonl = writeLines(
        input,
        Array.from({ length: tars }, (_, at) => ({ custom_id: `${at}`, tar: 'a.tar' })),
      );
      return send('jobs?dry_run=1', { body: { input: { jsonl } } });
    };
    expect(JobDryRun.parse((await dryRun(10_000)).json)).toMatchObject({ shards: 10_000, items: null, error: null });
    const beyond = await dryRun(10_001);
    expect([beyond.status, ErrorBody.parse(beyond.json)]).toMatchObject([
      400,
      {
        code: 'invalid_request',
        detail: expect.stringContaining('more than 10,000 shards'),
        error: { param: 'input' },
      },
    ]);
  });

  test('does not start on a port that is none, and says which variable names it', async () => {
    const child = spawn(process.execPath, [SERVICE, newFolder('jobs'), '--model', model], {
      env: { ...process.env, PORT: '8787x' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const code = new Promise((done) => child.once('exit', done));
    expect(await textOf(child.stderr)).toBe('$PORT 8787x: a whole number from 0 to 65535\n');
    expect(await code).toBe(2);
  });

  test('cancelled while it waits, it is never run; one that fails says why', async () => {
    const input = newFolder('in');
    await writeImages(input, 300);
    const store = newFolder('jobs');
    const empty = newFolder('empty');
    const { create, send, report, untilEnded } = await start(store, ['--source', input, '--source', empty]);
    const long = await create({ input: { prefix: `file://${input}` } });
    const waiting = await create(inline);
    for (const { id } of [waiting, long]) {
      const cancelled = JobReport.parse((await send(`jobs/${id}`, { method: 'DELETE' })).json);
      expect(cancelled).toMatchObject({ status: 'cancelled', error: 'It was cancelled.' });
    }
    const failed = await untilEnded((await create({ input: { prefix: `file://${empty}` } })).id);
    expect(failed).toMatchObject({ status: 'failed', error: expect.stringContaining('nothing to embed'), files: [] });
    const next = await untilEnded((await create(inline)).id);
    expect(next).toMatchObject({ status: 'completed', request_counts: { total: 1, completed: 0, failed: 1 } });
    expect(await report(waiting.id)).toMatchObject({ status: 'cancelled', shards: { total: 1, done: 0 } });
  });
});
