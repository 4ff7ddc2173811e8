// `npm run model -- … --on aws` where models are published to R2: the bucket that the Worker reads, by the key in the deployment's secret.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type LocalBucket, startBucket } from '../../api/dev/s3/endpoint.ts';
import { readCandidate } from '../../api/registry/candidate.ts';
import { publishModel } from '../../api/registry/publish.ts';
import { readPointer } from '../../api/registry/read.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import type { Published } from '../../contracts/src/training/pipeline.ts';
import { model } from '../../trainer/control/cli/model.ts';
import { type AwsAccount, startAccount } from '../support/aws-account.ts';
import { captured } from '../support/captured.ts';
import { smallModel, writeRuns } from '../support/exported-model.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
const KEYS = { accessKeyId: 'r2-access-key', secretAccessKey: 'r2-secret' };
const DEV = `sha256:${'d'.repeat(64)}`;
const SECRET = 'arn:aws:secretsmanager:us-east-1:123456789012:secret:R2';
const root = mkdtempSync(join(tmpdir(), 'repository '));
const published = openStore(`file://${mkdtempSync(join(tmpdir(), 'registry '))}`);
let account: AwsAccount;
let r2: LocalBucket;

beforeAll(async () => {
  account = await startAccount();
  account.secrets.set(
    SECRET,
    JSON.stringify({ access_key_id: KEYS.accessKeyId, secret_access_key: KEYS.secretAccessKey }),
  );
  r2 = await startBucket({ bucket: 'models', keys: { ...KEYS, region: 'auto' }, store: () => published });
  for (const [name, value] of Object.entries(account.env)) vi.stubEnv(name, value);
  const outputs = { ModelsBucket: 'unused', Registry: 's3://models', RegistryEndpoint: r2.url, RegistrySecret: SECRET };
  writeFileSync(join(root, 'cdk-outputs-prod.json'), JSON.stringify({ 'edge-clip-prod-data': outputs }));
});
afterAll(() => {
  vi.unstubAllEnvs();
  r2?.stop();
  account?.stop();
});

async function run(...argv: string[]) {
  const env = { [ENVARS.registry]: 'file:///nowhere' };
  return captured(model, [...argv, '--on', 'aws'], { root, cwd: root, env });
}

it('lists and rolls back what the Worker answers with', async () => {
  let incumbent: string | null = null;
  for (const version of ['1', '2']) {
    const verdict = { decision: 'publish' as const, reasons: [`it is ${version}`], incumbent };
    const { exported, evaluated } = await writeRuns(published, `runs-${version}`, smallModel(version));
    const candidate = await readCandidate(openStore(exported), openStore(evaluated), DEV);
    const moved: Published = await publishModel(published, candidate, verdict);
    incumbent = moved.manifest;
  }
  expect(await run('list')).toMatchObject({ code: 0, stdout: 'tiny\n' });
  const back = await run('rollback', 'tiny', '--reason', 'searches for shoes find hats');
  expect(back).toMatchObject({ code: 0, stderr: '' });
  const { pointer } = (await readPointer(published, 'tiny')) ?? {};
  expect(back.stdout).toBe(`tiny is back at ${pointer?.manifest}\n`);
  expect(pointer?.manifest).not.toBe(incumbent);
});

it('says what is missing where the outputs are of an earlier version', async () => {
  writeFileSync(join(root, 'cdk-outputs-prod.json'), '{"edge-clip-prod-data": {"ModelsBucket": "unused"}}');
  const { code, stderr } = await run('list');
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining('has no output Registry: write it again with npm run deploy'),
  ]);
});
