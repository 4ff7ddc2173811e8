// The transcripts of docs/bulk.md against the local server: bulk jobs with curl, and batches with curl and OpenAI's SDK.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OpenAiBatch, OpenAiFile } from '../../contracts/src/api/doors/batches.ts';
import { OpenAIEmbeddings } from '../../contracts/src/api/doors/openai.ts';
import { OpenAiUpload, OpenAiUploadPart } from '../../contracts/src/api/doors/uploads.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { EmbedJob, JobDryRun, JobList, JobReport } from '../../contracts/src/api/tasks/jobs.ts';
import { BulkError, BulkResult } from '../../contracts/src/bulk/lines.ts';
import { vectorOf } from '../api/bulk/jobs.ts';
import { type KeyFile, makeKeyFile } from '../support/key-file.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const ROOT = join(import.meta.dirname, '../..');
const GUIDE = readFileSync(join(ROOT, 'docs/bulk.md'), 'utf8');
const WAIT = { timeout: 55_000, interval: 300 };

let server: LocalServer;
let keys: KeyFile;
/** Good for requests and for jobs. */
let key = '';
let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'jobs-'));
  keys = await makeKeyFile();
  key = await keys.add({ scopes: ['embed', 'jobs'] });
  server = await startLocalServer({ jobs: join(folder, 'jobs'), keys: keys.file, requireKeys: true });
}, 120_000);
afterAll(async () => {
  await server?.stop();
  keys?.remove();
});

/** The commands below a heading, in order. */
function commandsBelow(heading: string): string[] {
  const section = GUIDE.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block.split(/^(?=curl |echo |split )/m),
  );
}

/** `names`: what the guide writes in capitals; `key`: of whoever types, absent one that is good for jobs. */
async function type(
  command: string | undefined,
  names: Record<string, string> = {},
  key = keys.secrets.jobs,
): Promise<string> {
  let line = (command ?? '').replaceAll('http://127.0.0.1:8787', server.url).replaceAll('/tmp/', `${folder}/`);
  for (const [name, value] of Object.entries(names)) line = line.replaceAll(name, value);
  line = line.replace(/^curl -s/, `curl -s -H 'authorization: Bearer ${key}'`);
  return (await promisify(execFile)('bash', ['-c', line], { cwd: ROOT })).stdout;
}
/** NaN where there is no vector of numbers to compare with. */
const cosineTo = (result: BulkResult, waited: ArrayLike<number | string> | undefined): number =>
  vectorOf(result).reduce((sum, value, i) => sum + value * Number(waited?.[i]), 0);
const ended = (status: string): boolean => status !== 'validating' && status !== 'in_progress';

test('a job: asked for, followed, its files read, listed, cancelled when it has ended already', async () => {
  const [create, get, part, errors, list, cancel] = commandsBelow('Over HTTP');
  const begun = JobReport.parse(JSON.parse(await type(create)));
  const JOB = begun.id;
  const read = async () => JobReport.parse(JSON.parse(await type(get, { JOB })));
  await expect.poll(async () => ended((await read()).status), WAIT).toBe(true);
  const report = await read();
  expect(report).toMatchObject({ status: 'completed', request_counts: { total: 2, completed: 1, failed: 1 } });
  expect(report.files.map(({ path }) => path)).toEqual(['part-0000.jsonl', 'part-0000.parquet', 'errors-0000.jsonl']);
  const result = BulkResult.parse(JSON.parse(await type(part, { JOB })));
  expect(BulkError.parse(JSON.parse(await type(errors, { JOB })))).toMatchObject({
    custom_id: 'nothing',
    code: 'empty_input',
  });
  const asked = await fetch(`${server.url}/v1/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${keys.secrets.good}` },
    body: JSON.stringify({ input: 'a dog running through snow' }),
  });
  const [online] = OpenAIEmbeddings.parse(await asked.json()).data;
  // The Worker's engine is another one than that of bulk jobs: the same vector within their tolerance.
  expect(cosineTo(result, online?.embedding)).toBeGreaterThan(0.995);
  expect(result.space_id).toBe(online?.space_id);
  expect(JobReport.parse(JSON.parse(await type(create))).id).toBe(JOB);
  expect(JobList.parse(JSON.parse(await type(list))).data.map(({ id }) => id)).toEqual([JOB]);
  expect(JobReport.parse(JSON.parse(await type(cancel, { JOB }))).status).toBe('completed');
});

test('a dry run: what a job would be, and no job', async () => {
  const [list, , plan] = commandsBelow('Over HTTP').slice(-3);
  const before = JobList.parse(JSON.parse(await type(list))).data.length;
  const { shards, items, estimate, routing, quota, error } = JobDryRun.parse(JSON.parse(await type(plan)));
  // 26 characters are about 7 tokens.
  expect([shards, items, estimate?.images, estimate?.tokens]).toEqual([1, 2, 1, 7]);
  expect([routing, quota, error]).toEqual([{ route: 'batch', reason: 'asked' }, null, null]);
  expect(JobList.parse(JSON.parse(await type(list))).data).toHaveLength(before);
});

test('a request becomes a job, whose vectors are those that an answer would have had', async () => {
  const [ask, get, part] = commandsBelow('A request becomes a job');
  const begun = EmbedJob.parse(JSON.parse(await type(ask, {}, key)));
  expect(begun.routing).toEqual({ route: 'batch', reason: 'asked' });
  const JOB = begun.id;
  const read = async () => JobReport.parse(JSON.parse(await type(get, { JOB }, key)));
  await expect.poll(async () => ended((await read()).status), WAIT).toBe(true);
  expect(await read()).toMatchObject({ status: 'completed', request_counts: { total: 2, completed: 2, failed: 0 } });
  const results = (await type(part, { JOB }, key))
    .trim()
    .split('\n')
    .map((line) => BulkResult.parse(JSON.parse(line)));
  expect(results.map(({ custom_id, modality }) => [custom_id, modality])).toEqual([
    ['0', 'text'],
    ['1', 'image'],
  ]);
  const atOnce = ask?.replace("-H 'prefer: respond-async' ", '');
  const { data, space_id } = EmbedResponse.parse(JSON.parse(await type(atOnce, {}, key)));
  for (const [at, result] of results.entries()) {
    expect(cosineTo(result, data[at]?.embedding as number[])).toBeGreaterThan(at === 0 ? 0.995 : 0.9999);
    expect(result.space_id).toBe(space_id);
  }
  expect(EmbedJob.parse(JSON.parse(await type(ask, {}, key))).id).toBe(JOB);
});

test('a batch by curl: a file of requests in, a file of answers out', async () => {
  const [write, send, create, get, content] = commandsBelow("OpenAI's batches");
  await type(write);
  const FILE = OpenAiFile.parse(JSON.parse(await type(send))).id;
  const BATCH = OpenAiBatch.parse(JSON.parse(await type(create, { FILE }))).id;
  const read = async () => OpenAiBatch.parse(JSON.parse(await type(get, { BATCH })));
  await expect.poll(async () => ended((await read()).status), WAIT).toBe(true);
  const batch = await read();
  expect(batch).toMatchObject({
    status: 'completed',
    request_counts: { total: 1, completed: 1, failed: 0 },
    error_file_id: null,
  });
  const { custom_id, response } = JSON.parse(await type(content, { OUTPUT: batch.output_file_id ?? '' }));
  expect([custom_id, response.status_code]).toEqual(['1', 200]);
  expect(OpenAIEmbeddings.parse(response.body).data[0]?.embedding).toHaveLength(64);
});

test('a file in parts by curl: completed once, and what a batch may be of', async () => {
  const [write = ''] = commandsBelow("OpenAI's batches");
  const [cut, begin, send, complete] = commandsBelow("OpenAI's batches").slice(-4);
  await type(write);
  await type(cut);
  const UPLOAD = OpenAiUpload.parse(JSON.parse(await type(begin))).id;
  const PART = OpenAiUploadPart.parse(JSON.parse(await type(send, { UPLOAD }))).id;
  const { status, file } = OpenAiUpload.parse(JSON.parse(await type(complete, { UPLOAD, PART })));
  expect(status).toBe('completed');
  const content = `curl -s http://127.0.0.1:8787/v1/files/${file?.id}/content`;
  expect(JSON.parse(await type(content))).toMatchObject({ custom_id: '1', url: '/v1/embeddings' });
});

const [BATCH = '', UPLOAD = ''] = [...GUIDE.matchAll(/^```js\n([\s\S]*?)^```/gm)]
  .map(([, code = '']) => code)
  .filter((code) => code.includes("from 'openai'"));

/** Runs a program with OpenAI's own SDK, and answers what it prints. */
async function runWithSdk(program: string): Promise<string> {
  const project = mkdtempSync(join(tmpdir(), 'sdk-'));
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  const told = program
    .replace('http://127.0.0.1:8787', server.url)
    .replace("'none'", `'${keys.secrets.jobs}'`)
    .replaceAll('/tmp/', `${folder}/`);
  writeFileSync(join(project, 'program.mjs'), told);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(project, 'program.mjs')], {
    timeout: 58_000,
  });
  expect(stderr).toBe('');
  rmSync(project, { recursive: true });
  return stdout;
}

test("a batch by OpenAI's SDK, unchanged", async () => {
  expect(await runWithSdk(BATCH)).toBe('0 64\n1 64\n');
});

test("a file in parts by OpenAI's SDK, and batches of it: listed, cancelled, answered", async () => {
  const requests = ['a dog', 'a cat', 'a boat'].map((input, at) =>
    JSON.stringify({ custom_id: `${at}`, method: 'POST', url: '/v1/embeddings', body: { input, dimensions: 64 } }),
  );
  const text = requests.join('\n');
  writeFileSync(join(folder, 'requests.jsonl'), text);
  // Parts of a hundred bytes, which end inside of lines.
  const sent = UPLOAD.replace('8 * 2 ** 20', '100');
  const batches = `
    const asked = { input_file_id: file.id, endpoint: '/v1/embeddings', completion_window: '24h' };
    const cancelled = await client.batches.cancel((await client.batches.create(asked)).id);
    let batch = await client.batches.create({ ...asked, metadata: { day: 'monday' } });
    while (['validating', 'in_progress'].includes(batch.status)) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      batch = await client.batches.retrieve(batch.id);
    }
    const listed = [];
    for await (const each of client.batches.list({ limit: 1 })) listed.push(each.id);
    const unused = await client.uploads.create({ filename: 'a.jsonl', purpose: 'batch', mime_type: 'text/plain', bytes: 1 });
    const answers = await (await client.files.content(batch.output_file_id)).text();
    console.log(JSON.stringify({
      cancelled: cancelled.status,
      status: batch.status,
      counts: batch.request_counts,
      day: batch.metadata.day,
      isListed: listed.includes(batch.id) && listed.includes(cancelled.id),
      unused: (await client.uploads.cancel(unused.id)).status,
      content: await (await client.files.content(file.id)).text(),
      lengths: answers.trim().split('\\n').map((line) => JSON.parse(line).response.body.data[0].embedding.length),
    }));`;
  const [said = '', found = ''] = (await runWithSdk(sent + batches)).trim().split('\n');
  expect(said).toMatch(new RegExp(`^file_[0-9a-z]+ ${text.length} ${Math.ceil(text.length / 100)}$`));
  const { cancelled, ...rest } = JSON.parse(found);
  // Of three texts it may be done before it is cancelled.
  expect(['cancelled', 'completed']).toContain(cancelled);
  expect(rest).toEqual({
    status: 'completed',
    counts: { total: 3, completed: 3, failed: 0 },
    day: 'monday',
    isListed: true,
    unused: 'cancelled',
    content: text,
    lengths: [64, 64, 64],
  });
});

test("the end of a job is told to the guide's own receiver, which believes the signature and refuses another", async () => {
  const heading = 'Told when it ends';
  const section = GUIDE.split(/^## /m).find((part) => part.startsWith(heading)) ?? '';
  const [, code = ''] = /^```js\n([\s\S]*?)^```/m.exec(section) ?? [];
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const [command] = commandsBelow(heading).slice(-1);
  // On any free port, which it says.
  const receiver = `${code.replace("listen(9000, '127.0.0.1')", "listen(0, '127.0.0.1', function () { console.log(this.address().port); })")}`;
  const program = spawn(process.execPath, ['--input-type=module', '--eval', receiver], {
    env: { ...process.env, SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  try {
    const port = String((await said.next()).value);
    const asked = command?.replace("'$SECRET'", secret).replace('9000', port);
    const { id } = JobReport.parse(JSON.parse(await type(asked)));
    expect((await said.next()).value).toBe(`msg_${id.replace('job_', '')} job.completed ${id}`);
    const forged = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': `${Math.floor(Date.now() / 1000)}`,
      'webhook-signature': 'v1,AAAA',
    };
    const refused = await fetch(`http://127.0.0.1:${port}/jobs`, { method: 'POST', headers: forged, body: '{}' });
    expect(refused.status).toBe(400);
  } finally {
    program.kill();
  }
});

test('a key that is not good for jobs is refused, and so is a request without one', async () => {
  const status = async (headers: Record<string, string>) => (await fetch(`${server.url}/v1/jobs`, { headers })).status;
  expect(await status({ authorization: `Bearer ${keys.secrets.good}` })).toBe(403);
  expect(await status({})).toBe(401);
});
