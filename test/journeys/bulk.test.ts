// A bulk job from one bucket into another, by S3 and by R2, as children of an array job run it: the bytes are those of folders.
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openStore } from '../../api/registry/stores/open.ts';
import { BulkDone } from '../../contracts/src/bulk/job.ts';
import { IMAGES, newFolder, writeTinyModel } from '../api/bulk/jobs.ts';
import { type AwsEmulator, startAws } from '../support/aws-emulator.ts';

const ROOT = join(import.meta.dirname, '../..');
const HOSTS = join(ROOT, 'api/bulk/hosts');
const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
const WORDS = ['--shard-items', '20', '--format', 'jsonl,parquet'];
const run = promisify(execFile);
let aws: AwsEmulator;
let model = '';
beforeAll(async () => {
  aws = await startAws(join(ROOT, 'trainer'));
  model = writeTinyModel();
  const s3 = new S3Client({ endpoint: aws.endpoint, region: 'us-east-1', credentials, forcePathStyle: true });
  for (const Bucket of ['photos', 'vectors']) await s3.send(new CreateBucketCommand({ Bucket }));
  const photos = openStore('s3://photos', { endpoint: aws.endpoint, credentials });
  for (const name of readdirSync(IMAGES)) await photos.put(`2026/${name}`, readFileSync(join(IMAGES, name)));
});
afterAll(() => aws.stop());

const digestsOf = (marks: string[]): string[] =>
  marks.flatMap((mark) => BulkDone.parse(JSON.parse(mark)).files.map(({ digest }) => digest));

async function folderDigests(): Promise<string[]> {
  const output = newFolder('out');
  await run(process.execPath, [join(HOSTS, 'encode.ts'), IMAGES, output, ...WORDS, '--model', model]);
  const names = readdirSync(output).filter((name) => name.endsWith('.done.json'));
  return digestsOf(names.map((name) => readFileSync(join(output, name), 'utf8')));
}

it.each([
  ['s3', {}],
  ['r2', { R2_ACCESS_KEY_ID: 'testing', R2_SECRET_ACCESS_KEY: 'testing' }],
])('%s to %s: planned once, each child its shard, a child that ran before does nothing', async (scheme, keys) => {
  const env = { ...process.env, ...(scheme === 's3' ? aws.env : { ...keys, R2_ENDPOINT: aws.endpoint }) };
  const job = `${scheme}://vectors/${scheme}`;
  const plan = [join(HOSTS, 'encode.ts'), `${scheme}://photos/2026`, job, ...WORDS, '--model', model, '--plan'];
  const { stdout } = await run(process.execPath, plan, { env });
  expect(stdout).toMatch(/\d+ items in 3 shards/);
  const child = (index: number) =>
    run(process.execPath, [join(HOSTS, 'shard.ts'), job, '--model', model], {
      env: { ...env, AWS_BATCH_JOB_ARRAY_INDEX: String(index), AWS_BATCH_JOB_ARRAY_SIZE: '3' },
    });
  await Promise.all([0, 1, 2].map(child));
  const before = await child(1);
  const vectors = openStore('s3://vectors', { endpoint: aws.endpoint, credentials });
  const marks = (await vectors.list(`${scheme}/part-`)).filter(({ key }) => key.endsWith('.done.json'));
  const texts = await Promise.all(marks.map(async ({ key }) => (await vectors.get(key))?.text()));
  expect(JSON.parse(before.stdout)).toMatchObject({ event: 'done', ...JSON.parse(texts[1] ?? '') });
  expect(digestsOf(texts.map((text) => text ?? ''))).toEqual(await folderDigests());
  const outside = spawnSync(process.execPath, [join(HOSTS, 'shard.ts'), job, '--shard', '3', '--model', model], {
    env,
  });
  expect([outside.status, outside.stderr.toString()]).toEqual([2, '--shard 3: the job has the shards 0 to 2\n']);
});
