// The loop closed: the pipeline's own Gate and Publish write to R2 by its S3 endpoint, and the Worker answers with what its binding reads
// there; the image encoder follows the same bucket as its Lambda does. Then the way back, by the command.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import { BUCKET, type LocalWorker, startWorker, type WorkerEvent } from '../../api/dev/local-worker.ts';
import { type LocalBucket, startBucket } from '../../api/dev/s3/endpoint.ts';
import { readManifest } from '../../api/registry/read.ts';
import type { ObjectStore } from '../../api/registry/store.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { openR2Store } from '../../api/registry/stores/r2.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { withPacked } from '../../contracts/src/model/towers.ts';
import { model } from '../../trainer/control/cli/model.ts';
import { handler as gate } from '../../trainer/control/lambda/gate.ts';
import { handler as publish } from '../../trainer/control/lambda/publish.ts';
import { type AwsAccount, startAccount } from '../support/aws-account.ts';
import { captured } from '../support/captured.ts';
import { writeRuns } from '../support/exported-model.ts';
import { digestOf, filesByPath, readModel, type TestModel } from '../support/registry.ts';
import { secondModel, twinImages, WORDS } from '../support/second-model.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const R2_BUCKET = 'edge-clip-dev-models';
/** The R2 key, which the secret holds and nothing else does. */
const R2_KEYS = { accessKeyId: 'r2-access-key', secretAccessKey: 'r2-secret' };
const SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:R2';
const POLL_MS = 250;

const folder = mkdtempSync(join(tmpdir(), 'runs-'));
let account: AwsAccount;
let r2: LocalBucket;
let bound: ObjectStore | undefined;
let encoder: { url: string; stop(): Promise<void> } | undefined;
let worker: LocalWorker | undefined;
const events: WorkerEvent[] = [];

beforeAll(async () => {
  account = await startAccount();
  account.secrets.set(
    SECRET,
    JSON.stringify({ access_key_id: R2_KEYS.accessKeyId, secret_access_key: R2_KEYS.secretAccessKey }),
  );
  r2 = await startBucket({ bucket: R2_BUCKET, keys: { ...R2_KEYS, region: 'auto' }, store: () => bound });
  // What infra sets on the functions of the pipeline and on the image encoder where settings say `registry: r2`.
  const environment = {
    ...account.env,
    [ENVARS.registry]: `s3://${R2_BUCKET}`,
    [ENVARS.registryEndpoint]: r2.url,
    [ENVARS.registrySecret]: SECRET,
  };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: POLL_MS });
  worker = await startWorker({
    model: EMBEDDED_MODEL,
    port: 0,
    encoderUrl: encoder.url,
    pollMs: POLL_MS,
    onEvent: (event) => events.push(event),
  });
  bound = openR2Store(await worker.platform.getR2Bucket(BUCKET));
}, 180_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  // The encoder follows the bucket, which the platform holds: asked after its end it never answers.
  await encoder?.stop();
  r2?.stop();
  await worker?.platform.dispose();
  account?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Finished runs of `export` and `evaluate`, judged and published by the functions of the state machine. */
async function judgeAndPublish(model: TestModel) {
  const runs = await writeRuns(openStore(`file://${folder}`), model.manifest.version, filesByPath(model));
  const plan = { recipe: 'embedded', to_run: 0, stages: [], ...runs, dev_data: digestOf('the dev split') };
  const decision = await gate({ plan });
  return { decision, published: await publish({ plan, decision }) };
}

async function embed(input: unknown): Promise<EmbedResponse> {
  const response = await fetch(`${worker?.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  return EmbedResponse.parse(JSON.parse(text));
}

test('what the pipeline publishes is what the Worker and its image encoder answer with; and back again', async () => {
  const first = await readModel(EMBEDDED_MODEL);
  const second = secondModel(first);
  const { dark, bright } = await twinImages(first.manifest.image.preprocess.size);
  const [cat, car] = WORDS.map((word) => `a ${word}`);
  const before = await embed([cat, car, { image: dark }, { image: bright }]);
  expect(before.space_id).toBe(first.manifest.space_id);

  // The embedded model first: a rollback needs one to go back to.
  const { decision, published: initial } = await judgeAndPublish(first);
  expect(decision).toMatchObject({ decision: 'publish', incumbent: null });
  const { decision: next, published } = await judgeAndPublish(second);
  expect(next).toMatchObject({ decision: 'publish', incumbent: initial.manifest });
  // What was exported, and its text weights packed.
  if (!bound) throw new Error('the bucket is not there yet');
  const { manifest } = await readManifest(bound, published.manifest);
  const { text, tiny } = manifest;
  expect([text, tiny].map((tower) => [tower?.engine, tower?.packed?.file.path])).toEqual([
    ['own', 'text.packed.bin'],
    ['own', 'tiny.packed.bin'],
  ]);
  expect(withPacked(second.manifest, { student: text, ...(tiny ? { tiny } : {}) })).toEqual(manifest);

  const serves = (space: string) =>
    expect.poll(async () => (await embed(cat)).space_id, { timeout: 60_000, interval: 100 }).toBe(space);
  await serves(second.manifest.space_id);
  // It reads either word, and the dark image, as the first reads the other.
  const after = await embed([cat, { image: dark }]);
  expect(after.space_id).toBe(second.manifest.space_id);
  expect(after.data[0]?.embedding).toEqual(before.data[1]?.embedding);
  const [image = [], twin = []] = [after.data[1]?.embedding, before.data[3]?.embedding] as number[][];
  expect(Math.max(...image.map((x, i) => Math.abs(x - (twin[i] ?? Number.NaN))))).toBeLessThan(1e-4);

  // A person's key; the functions were let in by that of the secret alone.
  expect(r2.refused).toBe(0);
  const env = { ...process.env, [ENVARS.registrySecret]: '' };
  const { name } = first.manifest;
  const refused = await captured(model, ['rollback', name], { root: ROOT, cwd: ROOT, env });
  expect(refused.code).not.toBe(0);
  expect(r2.refused).toBeGreaterThan(0);
  vi.stubEnv('AWS_ACCESS_KEY_ID', R2_KEYS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', R2_KEYS.secretAccessKey);
  const back = await captured(model, ['rollback', name, '--reason', 'a test', '--json'], {
    root: ROOT,
    cwd: ROOT,
    env,
  });
  expect(back.stderr).toBe('');
  expect(JSON.parse(back.stdout)).toMatchObject({ name, manifest: initial.manifest });
  await serves(first.manifest.space_id);
  expect((await embed([cat, { image: dark }])).data[1]?.embedding).toEqual(before.data[2]?.embedding);
  expect(events.filter(({ event }) => event === 'model_current')).toHaveLength(2);
}, 240_000);
