// `npm run deploy` from its checks to the Worker that answers: AWS over HTTP, the local Worker in the place of the deployed one.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { UserError } from '../../../contracts/src/user-error.ts';
import { deploy } from '../../../infra/deploy/deploy.ts';
import type { DeployEvent } from '../../../infra/deploy/events.ts';
import type { RunProgram } from '../../../infra/deploy/programs.ts';
import { ACCOUNT, type AwsAccount, startAccount } from '../../support/aws-account.ts';
import { prepareAccount, programsIn, writeCheckout } from '../../support/deployment.ts';
import { makeKeyFile } from '../../support/key-file.ts';
import { type LocalServer, startLocalServer } from '../../support/local-server.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const ROOT = join(import.meta.dirname, '../../..');
const REGISTRY = `${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com`;
const DATA_OUTPUTS = {
  TrainingBucket: 'training-a1b2',
  TrainerImages: `${REGISTRY}/trainer-images`,
  EncoderImages: `${REGISTRY}/encoder-images`,
  ImageBuilds: 'image-builds',
};
const REST_OUTPUTS = {
  training: { QueueCpu: 'arn:queue', StateMachine: 'arn:machine' },
  encoding: {
    EncoderUrl: 'https://encoder.example/',
    JobsBucket: 'jobs-a1b2c3',
    BulkQueue: 'arn:aws:batch:queue',
    BulkDefinition: 'arn:aws:batch:shard:3',
    WorkerAccess: 'arn:policy',
  },
};

let account: AwsAccount;
/** cdk, wrangler and docker. */
let recorded: RunProgram;
let worker: LocalServer;
let keys: Awaited<ReturnType<typeof makeKeyFile>>;
/** The checkout that is deployed: what decides about images and steps, in small. */
let root = '';
/** Every program that was run, as a line. */
let ran: string[] = [];
let failing: RegExp | undefined;
/** What deleting runs into. */
let deleting: (line: string) => void = () => {};
/** Of the Worker that answers. */
let version = '';
/** Outputs of the stack of encoders besides those that are always there. */
let more: Record<string, string> = {};
/** Accounts at Cloudflare. */
let cloudflare: { id: string; name: string }[] = [];

beforeAll(async () => {
  account = await startAccount();
  for (const [name, value] of Object.entries(account.env)) vi.stubEnv(name, value);
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'c'.repeat(32));
  keys = await makeKeyFile();
  worker = await startLocalServer({ keys: keys.file, requireKeys: true });
  recorded = programsIn({
    account,
    data: () => DATA_OUTPUTS,
    rest: () => ({ ...REST_OUTPUTS, encoding: { ...REST_OUTPUTS.encoding, ...more } }),
    worker: () => worker.url,
    key: () => keys.secrets.good,
    cloudflare: () => cloudflare,
  });
});
afterAll(async () => {
  account.stop();
  await worker.stop();
  keys.remove();
  vi.unstubAllEnvs();
});

beforeEach(() => {
  ran = [];
  failing = undefined;
  deleting = () => {};
  version = 'v1';
  more = {};
  cloudflare = [{ id: 'c0', name: 'Me' }];
  prepareAccount(account);
  root = mkdtempSync(join(tmpdir(), 'checkout '));
  writeCheckout(root);
  mkdirSync(join(root, 'trainer/stages'));
  writeFileSync(join(root, 'trainer/stages/clip.py'), '# a stage\n');
});

/** Those of the deployment, but that each is written down and one may fail. */
async function programs(...[name, args, options]: Parameters<RunProgram>): Promise<string> {
  const line = [name, ...args].join(' ');
  ran.push(line);
  deleting(line);
  if (line.startsWith('wrangler deployments')) return JSON.stringify({ versions: [{ version_id: version }] });
  if (failing?.test(line)) throw new UserError(`${name} ended with 1`);
  return recorded(name, args, options);
}

async function run(...argv: string[]): Promise<{ code: number; events: DeployEvent[]; refused: string }> {
  const lines: string[] = [];
  const write = (text: string): void => void lines.push(...text.trim().split('\n'));
  const streams = { stdout: { write }, stderr: { write } };
  const stop = new AbortController().signal;
  const code = await deploy([...argv, '--json'], { root, env: process.env, ...streams, stop, programs });
  const documents = lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  const events = documents.filter((document) => 'event' in document);
  return { code, events, refused: documents.find((document) => 'refused' in document)?.refused ?? '' };
}

const of = <T extends DeployEvent['event']>(events: DeployEvent[], name: T) =>
  events.filter((event): event is Extract<DeployEvent, { event: T }> => event.event === name);

it('goes from the checks to golden vectors, each step with what the one before it found', async () => {
  vi.stubEnv('WORKER_AWS_ACCESS_KEY_ID', 'AKIA');
  vi.stubEnv('WORKER_AWS_SECRET_ACCESS_KEY', 'top secret');
  const { code, events } = await run('--environment', 'dev');
  vi.stubEnv('WORKER_AWS_ACCESS_KEY_ID', '');
  vi.stubEnv('WORKER_AWS_SECRET_ACCESS_KEY', '');
  expect(code).toBe(0);
  expect(of(events, 'check').filter(({ verdict }) => verdict === 'problem')).toEqual([]);
  expect(of(events, 'done').map(({ step }) => step)).toEqual(['data', 'images', 'stacks', 'worker', 'smoke']);

  const stacks = ran.filter((line) => line.startsWith('cdk deploy'));
  expect(stacks[0]).toContain('cdk deploy edge-clip-dev-data --exclusively -c environment=dev');
  expect(stacks[0]).toContain(`--parameters edge-clip-dev-data:RegistryAccountId=${'c'.repeat(32)}`);
  expect(stacks[1]).toContain('cdk deploy --all -c environment=dev');
  expect(stacks[1]).toContain(`--parameters edge-clip-dev-training:TrainerImageDigest=${'a'.repeat(64)}`);
  expect(stacks[1]).toContain(`--parameters edge-clip-dev-encoding:EncoderImageDigest=${'b'.repeat(64)}`);

  // Both are built at once: in any order.
  const started = account.builds.map(({ variables }) => [
    variables.DOCKERFILE,
    variables.PLATFORM,
    variables.REPOSITORY,
  ]);
  expect(started.toSorted()).toEqual([
    ['api/encoder/Dockerfile', 'linux/arm64', DATA_OUTPUTS.EncoderImages],
    ['trainer/Dockerfile', 'linux/amd64', DATA_OUTPUTS.TrainerImages],
  ]);
  for (const { source } of account.builds) {
    expect(source).toMatch(/^training-a1b2\/sources\/sha256\/[0-9a-f]{64}\/$/);
    expect([...account.objects.keys()]).toContain(`${source}.dockerignore`);
  }

  const deployed = ran.find((line) => line.startsWith('wrangler deploy'));
  expect(deployed).toMatch(
    /^wrangler deploy --env dev --var ENCODER_URL:https:\/\/encoder\.example --var UPLOADS:s3:\/\/jobs-a1b2c3 --var JOBS_STORE:s3:\/\/jobs-a1b2c3 --var JOBS_QUEUE:arn:aws:batch:queue --var JOBS_DEFINITION:arn:aws:batch:shard:3 --secrets-file \S+$/,
  );
  expect(ran.join('\n')).not.toContain('top secret');
  expect(existsSync(deployed?.split(' ').at(-1) ?? '')).toBe(false);

  // The values are computed by the Worker: the golden vectors of the model that it embeds.
  const [smoke] = of(events, 'smoke');
  const { golden, name } = JSON.parse(readFileSync(join(ROOT, 'api/model/manifest.json'), 'utf8'));
  expect(smoke).toMatchObject({ url: worker.url, model: name, golden: golden.length });
  // The engine that serves rounds in places of its own: how far a vector may be is what its golden vector says.
  const least = Math.min(...golden.map(({ min_cosine }: { min_cosine: number }) => min_cosine));
  expect(least).toBeGreaterThanOrEqual(0.99);
  expect(smoke?.least_cosine).toBeGreaterThanOrEqual(least);
  expect(smoke?.embed_cosine).toBeGreaterThanOrEqual(least);
  expect(ran.at(-1)).toBe('node api/keys/keys.ts revoke ec_check --kv --namespace-id f00 --json');

  expect(JSON.parse(readFileSync(join(root, 'cdk-outputs-dev.json'), 'utf8'))).toMatchObject({
    'edge-clip-dev-data': DATA_OUTPUTS,
    'edge-clip-dev-training': { StateMachine: 'arn:machine' },
  });
});

it('tells the Worker of an encoder with a GPU where the stacks have one', async () => {
  more = { EncoderGpuUrl: 'https://gpu.example/' };
  await run('--environment', 'dev');
  const deployed = ran.find((line) => line.startsWith('wrangler deploy'));
  expect(deployed).toContain('--var ENCODER_URL:https://encoder.example --var ENCODER_GPU_URL:https://gpu.example ');
});

it('tells the Worker of a queue of jobs for machines with a GPU where the stacks have one', async () => {
  more = { BulkGpuQueue: 'arn:aws:batch:gpu-queue', BulkGpuDefinition: 'arn:aws:batch:gpu-shard:1' };
  await run('--environment', 'dev');
  const deployed = ran.find((line) => line.startsWith('wrangler deploy'));
  expect(deployed).toContain(
    '--var JOBS_DEFINITION:arn:aws:batch:shard:3 --var JOBS_GPU_QUEUE:arn:aws:batch:gpu-queue --var JOBS_GPU_DEFINITION:arn:aws:batch:gpu-shard:1',
  );
});

it('goes on after a failure with the step that failed, and once finished has nothing to do', async () => {
  failing = /^wrangler deploy/;
  const failed = await run('--environment', 'dev');
  expect(failed.code).toBe(1);
  expect(of(failed.events, 'failed')).toEqual([{ event: 'failed', step: 'worker', message: 'wrangler ended with 1' }]);
  failing = undefined;
  ran = [];
  const again = await run('--environment', 'dev');
  expect(again.code).toBe(0);
  expect(of(again.events, 'reused').map(({ step }) => step)).toEqual(['data', 'images', 'stacks']);
  expect(ran.filter((line) => line.startsWith('cdk'))).toEqual([]);
  expect(ran.find((line) => line.startsWith('wrangler deploy'))).toContain('ENCODER_URL:https://encoder.example');
  ran = [];
  const third = await run('--environment', 'dev');
  expect(of(third.events, 'reused')).toHaveLength(5);
  expect(ran).toEqual(['wrangler whoami --json', 'wrangler deployments status --env dev --json']);
});

it('does again what somebody else has changed since, and everything after it', async () => {
  await run('--environment', 'dev');
  // A colleague deployed another commit, from a checkout of their own.
  account.updated.set('edge-clip-dev-encoding', '2026-11-28T12:00:00Z');
  ran = [];
  const again = await run('--environment', 'dev');
  expect(of(again.events, 'reused').map(({ step }) => step)).toEqual(['data', 'images']);
  expect(of(again.events, 'done').map(({ step }) => step)).toEqual(['stacks', 'worker', 'smoke']);
  expect(ran.filter((line) => line.startsWith('cdk deploy'))).toHaveLength(1);
  expect(of((await run('--environment', 'dev')).events, 'reused')).toHaveLength(5);

  version = 'v2';
  expect(of((await run('--environment', 'dev')).events, 'done').map(({ step }) => step)).toEqual(['worker', 'smoke']);
  // The repository keeps some images, and this one was not among them any more.
  account.images.delete([...account.images.keys()].find((name) => name.startsWith('trainer-images')) ?? '');
  const built = account.builds.length;
  expect((await run('--environment', 'dev')).code).toBe(0);
  expect(account.builds.length).toBe(built + 1);
});

it('builds an image again where its own source has changed, and only that one', async () => {
  await run('--environment', 'dev', '--no-worker');
  expect(account.builds).toHaveLength(2);
  writeFileSync(join(root, 'trainer/stages/clip.py'), '# another stage\n');
  const { events } = await run('--environment', 'dev', '--no-worker');
  expect(of(events, 'reused')).toEqual([]);
  const built = account.builds.map(({ variables }) => variables.DOCKERFILE);
  expect(built.toSorted()).toEqual(['api/encoder/Dockerfile', 'trainer/Dockerfile', 'trainer/Dockerfile']);
});

it('says which build failed and where its log is', async () => {
  account.buildStatus = 'FAILED';
  const { code, events } = await run('--environment', 'dev');
  expect(code).toBe(1);
  expect(of(events, 'failed')[0]?.message).toContain(
    'the build failed in BUILD; its log: https://logs.example/image-builds:',
  );
});

it('builds with Docker on this machine where it is asked to, without a password in a command line', async () => {
  const { code } = await run('--environment', 'dev', '--images', 'buildx', '--no-worker');
  expect(code).toBe(0);
  expect(account.builds).toEqual([]);
  expect(ran).toContain(`docker login --username AWS --password-stdin ${REGISTRY}`);
  const [trainer, encoder] = ran.filter((line) => line.startsWith('docker buildx build'));
  expect(trainer).toContain('--platform linux/amd64 --provenance=false -f trainer/Dockerfile -t ');
  expect(encoder).toContain('--platform linux/arm64 --provenance=false -f api/encoder/Dockerfile -t ');
});

it('refuses before anything is changed what could not be deployed, with all that has to be done', async () => {
  account.stacks.clear();
  account.quotas.set('L-3819A6DF', 0);
  failing = /^wrangler whoami/;
  const { code, events, refused } = await run('--environment', 'dev');
  expect(code).toBe(2);
  expect(refused).toContain(`npx cdk bootstrap aws://${ACCOUNT}/us-east-1`);
  expect(refused).toContain('npx wrangler login');
  const spot = of(events, 'check').find(({ name }) => name === 'quota: spot G and VT');
  expect(spot).toMatchObject({
    verdict: 'warning',
    sentence: expect.stringContaining('0 vCPUs, no machine can start'),
  });
  expect(spot?.sentence).toContain('--quota-code L-3819A6DF --desired-value 16');
  const machines = of(events, 'check').find(({ name }) => name === 'machines: gpu');
  expect(machines).toMatchObject({
    verdict: 'ok',
    sentence: 'us-east-1a, us-east-1c have machines of 9 types',
  });
  expect(ran.filter((line) => /deploy/.test(line))).toEqual([]);
});

it('asks nobody which account at Cloudflare is meant: with several it is said beforehand', async () => {
  cloudflare = [...cloudflare, { id: 'c1', name: 'Us' }];
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', '');
  const { refused } = await run('--environment', 'dev');
  expect(refused).toContain('several accounts (Me, Us): set CLOUDFLARE_ACCOUNT_ID');
  expect(refused).toContain('nothing says to whose: set CLOUDFLARE_ACCOUNT_ID');
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'c1');
  const { events } = await run('--environment', 'dev', '--dry-run');
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'c'.repeat(32));
  expect(of(events, 'check').find(({ name }) => name === 'wrangler')?.verdict).toBe('ok');
});

it('refuses a region that lacks zones or kinds of machines, which would fail in the middle', async () => {
  account.regionZones = ['us-west-1a', 'us-west-1c'];
  for (const size of ['xlarge', '2xlarge', '4xlarge']) account.zones.set(`g6e.${size}`, []);
  const { code, refused } = await run('--environment', 'dev');
  expect(code).toBe(2);
  expect(refused).toContain(
    'zones: the settings want 3, this region has us-west-1a and us-west-1c: lower "zones" in infra/settings/dev.json',
  );
  expect(refused).toContain('machines: gpu: this region has no g6e.xlarge, g6e.2xlarge, g6e.4xlarge');
  expect(refused).toContain('leave g6e out of "gpu.families" in infra/settings/dev.json, or choose another region');
  expect(ran.filter((line) => /deploy/.test(line))).toEqual([]);
});

it('warns of machines that none of the zones in use has, where jobs would wait without end', async () => {
  for (const [type] of account.zones) account.zones.set(type, ['us-east-1d']);
  account.regionZones.push('us-east-1d');
  const { events } = await run('--environment', 'dev', '--dry-run');
  expect(of(events, 'check').find(({ name }) => name === 'machines: gpu')).toMatchObject({
    verdict: 'warning',
    sentence: expect.stringMatching(/stand in us-east-1a, us-east-1b, us-east-1c, where none can start: raise "zones"/),
  });
});

it('goes by what an account was given once: no parameter has to be said again', async () => {
  // So new that none of its calls can be reserved.
  account.quotas.set('L-B99A9384', 10);
  expect((await run('--environment', 'dev', '--no-worker')).refused).toContain(
    '--parameter EncoderReservation=account',
  );
  const argv = ['--environment', 'dev', '--no-worker'];
  expect((await run(...argv, '--parameter', 'EncoderReservation=account')).code).toBe(0);
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', '');
  const again = await run(...argv);
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'c'.repeat(32));
  expect([again.refused, again.code]).toEqual(['', 0]);
  expect(of(again.events, 'check').find(({ name }) => name === 'registry')?.sentence).toContain('c'.repeat(32));
  // A stack whose first deployment failed is deleted by the next one, and what it was given with it.
  account.statuses.set('edge-clip-dev-encoding', 'ROLLBACK_COMPLETE');
  expect((await run(...argv)).refused).toContain('--parameter EncoderReservation=account');
});

it('asks for the account of R2 where the stack was deployed with a registry in S3', async () => {
  account.stacks.set('edge-clip-dev-data', DATA_OUTPUTS);
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', '');
  const { refused } = await run('--environment', 'dev', '--no-worker');
  vi.stubEnv('CLOUDFLARE_ACCOUNT_ID', 'c'.repeat(32));
  expect(refused).toContain('nothing says to whose: set CLOUDFLARE_ACCOUNT_ID');
});

it('builds one image after the other where a new account may run one build at a time, and says so where it may run none', async () => {
  account.buildsRefused = 1;
  const { code, events } = await run('--environment', 'dev', '--no-worker');
  expect([code, account.builds.length]).toEqual([0, 2]);
  expect(of(events, 'progress').map(({ sentence }) => sentence)).toContainEqual(
    expect.stringMatching(/^\w+: waits until other builds have ended/),
  );
  prepareAccount(account);
  account.buildsRefused = Number.POSITIVE_INFINITY;
  const none = await run('--environment', 'dev', '--no-worker', '--again');
  expect(none.code).toBe(1);
  expect(of(none.events, 'failed')).toMatchObject([
    { step: 'images', message: expect.stringMatching(/no build in this account .*Service Quotas.* --images buildx$/) },
  ]);
});

it('a dry run synthesises, prints sizes and sources, and changes nothing', async () => {
  const { code, events } = await run('--environment', 'dev', '--dry-run');
  expect(code).toBe(0);
  expect(of(events, 'size')).toEqual([{ event: 'size', limit_kib: 65_536, total_kib: 41_799.64, gzip_kib: 26_800.1 }]);
  expect(of(events, 'source').map(({ image }) => image)).toEqual(['trainer', 'encoder']);
  expect(of(events, 'break_even')).toEqual([
    expect.objectContaining({ machine: 'g6.2xlarge', region: 'us-east-1', images_per_month: expect.any(Number) }),
  ]);
  expect(of(events, 'planned').map(({ step }) => step)).toEqual(['data', 'images', 'stacks', 'worker', 'smoke']);
  expect(ran.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
    'wrangler whoami',
    'cdk synth',
    'wrangler deploy',
  ]);
  expect(account.stacks.has('edge-clip-dev-data')).toBe(false);
});

it('status shows stacks and steps and asks the Worker; destroy deletes, keeps prod, and wants a yes', async () => {
  expect((await run('status', '--environment', 'dev')).refused).toContain('nothing of dev is deployed');
  await run('--environment', 'dev');
  const { code, events } = await run('status', '--environment', 'dev');
  expect(code).toBe(0);
  expect(of(events, 'stack').map(({ name, status }) => [name, status])).toEqual([
    ['edge-clip-dev-data', 'CREATE_COMPLETE'],
    ['edge-clip-dev-training', 'CREATE_COMPLETE'],
    ['edge-clip-dev-encoding', 'CREATE_COMPLETE'],
  ]);
  expect(of(events, 'planned').every(({ finished_at }) => finished_at !== null)).toBe(true);
  expect(of(events, 'smoke')).toHaveLength(1);

  expect((await run('destroy', '--environment', 'dev')).refused).toContain('add --yes');
  expect((await run('destroy', '--environment', 'prod', '--yes')).refused).toContain(
    'the settings of prod keep its data',
  );
  ran = [];
  expect((await run('destroy', '--environment', 'dev', '--yes')).code).toBe(0);
  expect(ran.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(['wrangler delete', 'cdk destroy']);
  expect(
    of((await run('--environment', 'dev', '--dry-run')).events, 'planned').every(
      ({ finished_at }) => finished_at === null,
    ),
  ).toBe(true);
});

it('destroy empties the buckets before, of every version, and that of access logs last', async () => {
  await run('--environment', 'dev', '--no-worker');
  const [logs, models] = ['edge-clip-dev-data-dataaccesslogs-1', 'edge-clip-dev-data-datamodels-2'];
  account.versions.set(`${logs}/line`, ['one']);
  account.versions.set(`${models}/a`, ['one', 'two', 'marker']);
  account.versions.set(`${models}/b`, ['one']);
  account.versions.set('somebody-elses/c', ['one']);
  account.kept.add(`${models}/b`);
  ran = [];
  const kept = await run('destroy', '--environment', 'dev', '--yes', '--no-worker');
  expect([kept.code, kept.refused]).toEqual([2, `${models} keeps b: Access Denied`]);
  expect(ran).toEqual([]);

  account.kept.clear();
  const { code, events } = await run('destroy', '--environment', 'dev', '--yes', '--no-worker');
  expect(code).toBe(0);
  expect(of(events, 'emptied').map(({ bucket }) => bucket)).toEqual([models, logs]);
  expect([...account.versions].filter(([, ids]) => ids.length > 0)).toEqual([['somebody-elses/c', ['one']]]);
  expect(ran.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(['cdk destroy']);
});

it('destroy goes on where it failed: without a Worker, and after logs that came while it deleted', async () => {
  await run('--environment', 'dev', '--no-worker');
  const logs = 'edge-clip-dev-data-dataaccesslogs-1/late';
  account.versions.set(logs, []);
  deleting = (line) => {
    if (line.startsWith('wrangler delete'))
      throw new UserError('wrangler delete --env ended with 1:\n  | workers.api.error.service_not_found [code: 10090]');
    if (!line.startsWith('cdk destroy') || ran.filter((each) => each.startsWith('cdk destroy')).length > 1) return;
    account.versions.set(logs, ['one']);
    throw new UserError('cdk destroy --all ended with 1:\n  | The bucket you tried to delete is not empty');
  };
  const { code, events } = await run('destroy', '--environment', 'dev', '--yes');
  expect([code, of(events, 'destroyed')]).toEqual([0, [expect.objectContaining({ environment: 'dev' })]]);
  expect(account.versions.get(logs)).toEqual([]);
});

it('another account is another deployment, also to destroy', async () => {
  await run('--environment', 'dev', '--no-worker');
  const file = join(root, 'build/deploy/dev/state.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace(ACCOUNT, '210987654321'));
  expect((await run('--environment', 'dev', '--no-worker')).refused).toContain('was deployed to account 210987654321');
  ran = [];
  const { code, refused } = await run('destroy', '--environment', 'dev', '--yes');
  expect([code, refused]).toEqual([2, expect.stringContaining('was deployed to account 210987654321')]);
  expect(ran).toEqual([]);
});

it.each([
  [['--environment', 'staging'], 'no such environment'],
  [[], '--environment says which'],
  [['--environment', 'dev', '--images', 'podman'], 'there are codebuild and buildx'],
  [['--environment', 'dev', '--parameter', 'Colour=red'], 'there are TrainerImageDigest'],
  [['undo', '--environment', 'dev'], 'there are status and destroy'],
  [['status', '--environment', 'dev', '--dry-run'], '--dry-run goes with a deployment'],
])('%j is refused', async (argv, sentence) => {
  const { code, refused } = await run(...argv);
  expect(code).toBe(2);
  expect(refused).toContain(sentence);
});
