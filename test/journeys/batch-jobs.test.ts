// A bulk job of the deployed Worker: its own identity, signed calls, an array job whose children are the real entry of the container.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BatchClient, DescribeJobsCommand, ListJobsCommand } from '@aws-sdk/client-batch';
import type { Miniflare } from 'miniflare';
import { packTar } from 'modern-tar';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startWorker } from '../../api/dev/local-worker.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { freePort } from '../../contracts/command/local-server.ts';
import { OpenAiFile } from '../../contracts/src/api/doors/batches.ts';
import { ErrorBody } from '../../contracts/src/api/error.ts';
import { EmbedJob, JobReport } from '../../contracts/src/api/tasks/jobs.ts';
import { BulkDone } from '../../contracts/src/bulk/job.ts';
import { BulkError, BulkResult } from '../../contracts/src/bulk/lines.ts';
import { IMAGES, newFolder } from '../api/bulk/jobs.ts';
import { type AwsDoor, startDoor } from '../support/aws-door.ts';
import { type AwsEmulator, deployBulk, startAws } from '../support/aws-emulator.ts';

const ROOT = join(import.meta.dirname, '../..');
const WAIT = { timeout: 120_000, interval: 500 };
const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
const FILES = readdirSync(IMAGES).slice(0, 6);

let aws: AwsEmulator;
let door: AwsDoor;
let batch: BatchClient;
let platform: Miniflare | undefined;
let url = '';
let stack: Awaited<ReturnType<typeof deployBulk>>;
/** Of the job that is compared: nine tars, and between them an image in a line; a shard each, and as many as two children do. */
let lines: string[] = [];

beforeAll(async () => {
  aws = await startAws(join(ROOT, 'trainer'), { RECLAIMED_ONCE: '1' });
  door = await startDoor(aws.endpoint);
  stack = await deployBulk(aws);
  batch = new BatchClient({ endpoint: aws.endpoint, region: 'us-east-1', credentials });
  const store = openStore(`s3://${stack.bucket}`, { endpoint: aws.endpoint, credentials });
  for (const [at, names] of [FILES.slice(0, 3), FILES.slice(3)].entries()) {
    const entries = names.map((name) => {
      const body = readFileSync(join(IMAGES, name));
      return { header: { name, size: body.length, type: 'file' as const }, body };
    });
    await store.put(`uploads/shared/${at}.tar`, await packTar(entries));
  }
  const tar = (at: number) => ({ custom_id: `tar-${at}`, tar: `s3://${stack.bucket}/uploads/shared/${at}.tar` });
  const image = readFileSync(join(IMAGES, FILES[0] ?? '')).toString('base64');
  lines = [tar(0), { custom_id: 'alone', image }, ...Array.from({ length: 8 }, (_, at) => tar(at % 2))].map((line) =>
    JSON.stringify(line),
  );
  ({ platform, url } = await startDeployed());
}, 600_000);
afterAll(async () => {
  await platform?.dispose();
  door?.stop();
  aws?.stop();
});

/** The Worker with the variables that a deployment gives it, at addresses of the emulator. */
async function startDeployed() {
  const port = await freePort(0);
  const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
  return startWorker({
    model: EMBEDDED_MODEL,
    port,
    encoderUrl: 'http://127.0.0.1:9',
    variables: {
      JOBS_STORE: `s3://${stack.bucket}`,
      JOBS_QUEUE: stack.queue,
      JOBS_DEFINITION: stack.definition,
      JOBS_GPU_QUEUE: stack.gpu.queue,
      JOBS_GPU_DEFINITION: stack.gpu.definition,
      WORKER_ISSUER: `http://127.0.0.1:${port}`,
      WORKER_IDENTITY: JSON.stringify(await crypto.subtle.exportKey('jwk', privateKey)),
      WORKER_ROLE_ARN: 'arn:aws:iam::123456789012:role/worker',
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_S3: door.url,
      AWS_ENDPOINT_URL_STS: door.url,
      AWS_ENDPOINT_URL_BATCH: door.url,
    },
  });
}

async function create(body: object, key: string): Promise<JobReport> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': key };
  const response = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.stringContaining('"object":"job"')]);
  return JobReport.parse(JSON.parse(text));
}

const read = async (id: string): Promise<JobReport> =>
  JobReport.parse(await (await fetch(`${url}/v1/jobs/${id}`)).json());

/** Every job that was ever submitted to a queue, without the children of arrays. */
async function submissions(
  jobQueue = stack.queue,
): Promise<{ jobId?: string | undefined; jobName?: string | undefined }[]> {
  const filters = [{ name: 'JOB_NAME', values: ['*'] }];
  const { jobSummaryList = [] } = await batch.send(new ListJobsCommand({ jobQueue, filters }));
  return jobSummaryList.filter(({ jobId = '' }) => !jobId.includes(':'));
}

async function sendFile(): Promise<string> {
  const form = new FormData();
  form.append('purpose', 'batch');
  form.append('file', new Blob([lines.join('\n')]), 'lines.jsonl');
  return OpenAiFile.parse(await (await fetch(`${url}/v1/files`, { method: 'POST', body: form })).json()).id;
}

/** Digests of what the same lines leave by processes of this machine. */
async function digestsHere(lines: string[], formats: string): Promise<string[]> {
  const [input, output] = [join(newFolder('in'), 'lines.jsonl'), newFolder('out')];
  writeFileSync(input, lines.join('\n'));
  const words = [input, output, '--source', `s3://${stack.bucket}/uploads`, '--format', formats];
  await promisify(execFile)(process.execPath, [join(ROOT, 'api/bulk/hosts/encode.ts'), ...words], {
    env: { ...process.env, ...aws.env },
  });
  const marks = readdirSync(output).filter((name) => name.endsWith('.done.json'));
  return marks
    .sort()
    .flatMap((name) => digestsOf(BulkDone.parse(JSON.parse(readFileSync(join(output, name), 'utf8')))));
}

const digestsOf = ({ files }: Pick<JobReport, 'files'>): string[] => files.map(({ digest }) => digest);

test('a job: submitted once, one child tried again alone, and the bytes are those of processes of this machine', async () => {
  const body = { input: { file_id: await sendFile() }, formats: ['jsonl', 'parquet'] };
  // Two at a time under one key, as a client that lost its patience sends them.
  const [first, second] = await Promise.all([create(body, 'monday'), create(body, 'monday')]);
  expect(second.id).toBe(first.id);
  await expect.poll(async () => (await read(first.id)).ended_at, WAIT).not.toBeNull();
  const report = await read(first.id);
  expect(report).toMatchObject({
    status: 'completed',
    shards: { total: 10, done: 10 },
    request_counts: { total: 28, completed: 28, failed: 0 },
  });
  expect(aws.reclaimed).toEqual([1]);
  expect((await submissions()).map(({ jobName }) => jobName)).toEqual([first.id]);
  expect(digestsOf(report)).toEqual(await digestsHere(lines, 'jsonl,parquet'));

  const part = await (await fetch(`${url}/v1/jobs/${first.id}/files/part-0001.jsonl`)).text();
  expect(BulkResult.parse(JSON.parse(part)).custom_id).toBe('alone');
  expect((await create(body, 'monday')).status).toBe('completed');
  expect(await submissions()).toHaveLength(1);
}, 200_000);

test('a job that asks for a GPU goes to the queue of such machines, and is done there by the same container', async () => {
  const image = readFileSync(join(IMAGES, FILES[1] ?? '')).toString('base64');
  const body = { input: { items: [{ custom_id: 'one', image }] }, machine: 'gpu' };
  const { id, machine } = await create(body, 'thursday');
  expect(machine).toBe('gpu');
  await expect.poll(async () => (await read(id)).ended_at, WAIT).not.toBeNull();
  const line = JSON.stringify({ custom_id: 'one', image });
  expect(digestsOf(await read(id))).toEqual(await digestsHere([line], 'jsonl'));
  expect((await submissions(stack.gpu.queue)).map(({ jobName }) => jobName)).toEqual([id]);
  expect((await submissions()).map(({ jobName }) => jobName)).not.toContain(id);
}, 200_000);

test('a request that becomes a job, once under its key, with the bytes of the same items here', async () => {
  const image = readFileSync(join(IMAGES, FILES[1] ?? '')).toString('base64');
  const ask = async () => {
    const response = await fetch(`${url}/embed`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'wednesday', prefer: 'respond-async' },
      body: JSON.stringify({ input: [{ image }, { content: [{ text: 'a dog' }, { image }] }] }),
    });
    expect([response.status, response.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    const job = EmbedJob.parse(await response.json());
    expect(response.headers.get('location')).toBe(`/v1/jobs/${job.id}`);
    return job;
  };
  const { id, routing } = await ask();
  expect(routing).toEqual({ route: 'batch', reason: 'asked' });
  await expect.poll(async () => (await read(id)).ended_at, WAIT).not.toBeNull();
  const items = [
    { custom_id: '0', image },
    { custom_id: '1', content: [{ text: 'a dog' }, { image }] },
  ];
  const here = await digestsHere(
    items.map((item) => JSON.stringify(item)),
    'jsonl',
  );
  expect(digestsOf(await read(id))).toEqual(here);
  expect((await ask()).id).toBe(id);
  expect((await submissions()).filter(({ jobName }) => jobName === id)).toHaveLength(1);
}, 200_000);

test('a job that is cancelled: its array ends, and the same key answers what became of it', async () => {
  const body = { input: { file_id: await sendFile() } };
  const { id } = await create(body, 'tuesday');
  const cancelled = JobReport.parse(await (await fetch(`${url}/v1/jobs/${id}`, { method: 'DELETE' })).json());
  expect(cancelled).toMatchObject({ id, status: 'cancelled', error: 'It was cancelled.' });
  const array = (await submissions()).find(({ jobName }) => jobName === id)?.jobId ?? '';
  const statusOf = async () => {
    const { jobs = [] } = await batch.send(new DescribeJobsCommand({ jobs: [array] }));
    return jobs[0]?.status;
  };
  await expect.poll(statusOf, WAIT).toBe('FAILED');
  expect((await create(body, 'tuesday')).status).toBe('cancelled');
  expect((await submissions()).filter(({ jobName }) => jobName === id)).toHaveLength(1);
}, 200_000);

test('a prefix and a file of lines that the bucket holds for everybody: their images, and no other files', async () => {
  const album = `s3://${stack.bucket}/uploads/shared/album`;
  const store = openStore(album, { endpoint: aws.endpoint, credentials });
  const [first = '', second = ''] = FILES;
  for (const name of [first, second]) await store.put(name, new Uint8Array(readFileSync(join(IMAGES, name))));
  const named = [
    { custom_id: 'beside', path: first },
    { custom_id: 'elsewhere', uri: `s3://${stack.bucket}/jobs/secret.png` },
  ];
  await store.put('lines.jsonl', new TextEncoder().encode(named.map((line) => JSON.stringify(line)).join('\n')));
  const jobs = await Promise.all([
    create({ input: { prefix: album } }, 'album'),
    create({ input: { jsonl: `${album}/lines.jsonl` } }, 'lines'),
  ]);
  const results: string[] = [];
  for (const { id } of jobs) {
    await expect.poll(async () => (await read(id)).ended_at, WAIT).not.toBeNull();
    results.push(await (await fetch(`${url}/v1/jobs/${id}/files/part-0000.jsonl`)).text());
  }
  const [ofPrefix = [], ofLines = []] = results.map((text) =>
    text
      .trim()
      .split('\n')
      .map((line) => BulkResult.parse(JSON.parse(line))),
  );
  expect(ofPrefix.map(({ custom_id }) => custom_id)).toEqual([first, second].sort());
  expect(ofLines.map(({ custom_id }) => custom_id)).toEqual(['beside']);
  expect(ofLines[0]?.embedding).toBe(ofPrefix.find(({ custom_id }) => custom_id === first)?.embedding);
  const errors = await (await fetch(`${url}/v1/jobs/${jobs[1]?.id}/files/errors-0000.jsonl`)).text();
  expect(BulkError.parse(JSON.parse(errors))).toMatchObject({ custom_id: 'elsewhere', code: 'invalid_request' });
}, 200_000);

test("the Worker's schedule looks for ends that nobody was told of", async () => {
  const asked = { input: { items: [{ custom_id: 'a', text: 'a dog' }] } };
  const webhook = { url: 'http://127.0.0.1:9/jobs', secret: `whsec_${'A'.repeat(32)}` };
  const { id } = await create({ ...asked, webhook }, 'told');
  const before = door.calls.length;
  const worker = await platform?.getWorker('edge-clip');
  expect(await worker?.scheduled({ cron: '*/5 * * * *' })).toMatchObject({ outcome: 'ok' });
  const paths = door.calls.slice(before).map(({ path }) => decodeURIComponent(path));
  expect(paths).toContainEqual(expect.stringContaining('prefix=jobs/to-tell/'));
  expect(paths).toContainEqual(expect.stringContaining(`/jobs/${id}/webhook-`));
  await fetch(`${url}/v1/jobs/${id}`, { method: 'DELETE' });
}, 60_000);

test('what a job names outside of that is refused, and nothing was asked of AWS without a right signature', async () => {
  const headers = { 'content-type': 'application/json' };
  for (const place of ['uploads', 'uploads/sha256', 'uploads/ec_00000000', 'uploads/shared/../sha256', 'jobs']) {
    const prefix = `s3://${stack.bucket}/${place}`;
    const body = JSON.stringify({ input: { prefix } });
    const refused = ErrorBody.parse(await (await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body })).json());
    expect(refused).toMatchObject({ code: 'invalid_request', error: { param: 'input' } });
    expect(refused.detail).toContain(`may not read ${prefix}`);
  }
  const exchanges = door.calls.filter(({ service }) => service === 'sts');
  expect(exchanges).toHaveLength(1);
  expect(door.calls.filter((call) => call.service !== 'sts' && !call.isRight)).toEqual([]);
  expect(new Set(door.calls.map(({ service }) => service))).toEqual(new Set(['sts', 's3', 'batch']));
});
