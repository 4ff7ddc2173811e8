// From the schedule to the model: the state machine's definition with the real Plan, Gate and Publish, jobs in the real container.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeleteObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { StateMachine } from 'aws-local-stepfunctions';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { readHistory, readIncumbent } from '../../api/registry/history.ts';
import { rollback } from '../../api/registry/publish.ts';
import type { ObjectStore } from '../../api/registry/store.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { pipelineDefinition } from '../../infra/training/pipeline/definition.ts';
import { handler as gate } from '../../trainer/control/lambda/gate.ts';
import { handler as plan } from '../../trainer/control/lambda/plan.ts';
import { handler as publish } from '../../trainer/control/lambda/publish.ts';
import { type AwsEmulator, type Deployment, deploy, functionEnvironment, startAws } from '../support/aws-emulator.ts';
import { runJob, SubmittedJob } from '../support/batch-job.ts';
import { GOOD_EVALUATION, plantModel, smallModel } from '../support/exported-model.ts';
import { interpretable } from '../support/state-machine-definition.ts';
import { createRepository, data, type TinyRepository, train } from '../support/tiny-repository.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });
const RECIPE = 'recipes/tiny.json';

let aws: AwsEmulator;
let repository: TinyRepository;
let deployment: Deployment;
let models: ObjectStore;

beforeAll(async () => {
  repository = createRepository((recipe) => {
    recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  });
  plantModel(repository.root, smallModel('1'));
  aws = await startAws(join(repository.root, 'trainer'));
  deployment = await deploy(aws, join(repository.root, 'cdk-outputs.json'));
  const { modelsBucket } = deployment;
  // What infra sets on the three functions; the SDK reads where AWS is.
  const environment = {
    ...aws.env,
    ...functionEnvironment(deployment, join(repository.root, 'trainer')),
    [ENVARS.registry]: `s3://${modelsBucket}`,
  };
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  models = openStore(`s3://${modelsBucket}`);
});
afterAll(() => {
  aws.stop();
  vi.unstubAllEnvs();
});

interface Execution {
  /** The state that it ended in. */
  end: string;
  /** Stages that ran, in order. */
  ran: string[];
  error: unknown;
}

/** One execution, by the schedule or by new data; the lock's table and the topic are the services' own, and take what they are given. */
async function execute(input: { recipe: string } | { pointer: string }): Promise<Execution> {
  const parts = { table: 'runs', topic: 'arn:aws:sns:us-east-1:123456789012:reports' };
  const lambda = (name: string): string => `arn:aws:lambda:us-east-1:123456789012:function:${name}`;
  const written = pipelineDefinition({
    ...parts,
    plan: lambda('plan'),
    gate: lambda('gate'),
    publish: lambda('publish'),
  });
  // Through JSON, as CloudFormation hands it on.
  const definition = interpretable(written);
  const ran: string[] = [];
  const accepts = async () => ({});
  const { result, eventLogs } = new StateMachine(definition, { validationOptions: { noValidate: true } }).run(input, {
    context: {
      Execution: { Id: 'arn:execution', StartTime: '2026-11-25T03:00:00Z' },
      State: { EnteredTime: '2026-11-25T03:00:00Z' },
    },
    overrides: {
      taskResourceLocalHandlers: {
        AcquireLock: accepts,
        Plan: plan,
        RunStage: async (item) => {
          const job = SubmittedJob.parse(item);
          ran.push(job.Tags.job);
          await runJob(job);
          return {};
        },
        Gate: gate,
        Publish: publish,
        RecordRun: accepts,
        RecordRejection: accepts,
        Notify: accepts,
        NotifyFailure: accepts,
        ReleaseLock: accepts,
      },
    },
  });
  let end = '';
  const watched = (async () => {
    for await (const event of eventLogs) if ('state' in event) end = event.state.name;
  })();
  const error = await result.then(
    () => null,
    (reason: unknown) => reason,
  );
  await watched;
  return { end, ran, error };
}

async function submit(change: (text: string) => string = (text) => text): Promise<void> {
  writeFileSync(repository.recipeFile, change(readFileSync(repository.recipeFile, 'utf8')));
  // Only `prepare` is run by hand: the request that it leaves is what the schedule goes by.
  expect((await train(repository.root, [RECIPE, '--on', 'aws', '--to', 'prepare'], aws.env)).code).toBe(0);
}

it('a recipe that was never submitted is no failure: the execution ends before it asks for anything', async () => {
  expect(await execute({ recipe: 'tiny' })).toEqual({ end: 'NeverSubmitted', ran: [], error: null });
});

it('trains what is missing, asks the gate and publishes', async () => {
  await submit();
  const { end, ran } = await execute({ recipe: 'tiny' });
  expect(end).toBe('Done');
  expect(ran.slice(-10)).toEqual([
    'mntp',
    'contrastive',
    'embed_captions',
    'inherit',
    'embed_images',
    'clip',
    'vocabulary',
    'distill',
    'export',
    'evaluate',
  ]);
  const current = await readIncumbent(models, 'tiny');
  expect(current?.manifest.version).toBe('1');
  expect(current?.release).toMatchObject({ action: 'publish', metrics: GOOD_EVALUATION });
});

it('a week later nothing has changed: nothing runs and nothing is published', async () => {
  const { end, ran } = await execute({ recipe: 'tiny' });
  expect(end).toBe('NothingToRun');
  expect(ran).toEqual([]);
  expect(await readHistory(models, 'tiny')).toHaveLength(1);
});

it('publishes what was trained before and not published, without training it again', async () => {
  await models.put('models/tiny/current.json', Buffer.from('{}'));
  const bucket = openStore(`s3://${deployment.modelsBucket}`);
  const { end } = await execute({ recipe: 'tiny' });
  expect(end).toBe('Failed');
  await new S3Client({ forcePathStyle: true }).send(
    new DeleteObjectCommand({ Bucket: deployment.modelsBucket, Key: 'models/tiny/current.json' }),
  );
  const again = await execute({ recipe: 'tiny' });
  expect(again).toMatchObject({ end: 'Done', ran: [] });
  expect((await readIncumbent(bucket, 'tiny'))?.manifest.version).toBe('1');
});

it('a worse model is trained, rejected, and the old one stays', async () => {
  plantModel(repository.root, smallModel('2'), { evaluated: { ...GOOD_EVALUATION, 'static.mean_recall': 0.2 } });
  await submit((text) => text.replace('"version":"1"', '"version":"2"'));
  const { end, ran } = await execute({ recipe: 'tiny' });
  expect(end).toBe('Rejected');
  expect(ran).toEqual(['export', 'evaluate']);
  expect((await readIncumbent(models, 'tiny'))?.manifest.version).toBe('1');
  // The same candidate is not reported again every week.
  expect(await execute({ recipe: 'tiny' })).toMatchObject({ end: 'NothingToRun', ran: [] });
});

it('a stage that fails ends the execution; fixed, the next one goes on where it ended', async () => {
  plantModel(repository.root, smallModel('3'));
  writeFileSync(join(repository.root, 'broken-stage'), 'evaluate');
  await submit((text) => text.replace('"version":"2"', '"version":"3"'));
  const failed = await execute({ recipe: 'tiny' });
  expect(failed).toMatchObject({ end: 'Failed', ran: ['export', 'evaluate'] });
  expect(String(failed.error)).toContain('Essential container in task exited');
  expect((await readIncumbent(models, 'tiny'))?.manifest.version).toBe('1');
  rmSync(join(repository.root, 'broken-stage'));
  expect(await execute({ recipe: 'tiny' })).toMatchObject({ end: 'Done', ran: ['evaluate'] });
  expect((await readIncumbent(models, 'tiny'))?.manifest.version).toBe('3');
});

it('a model that a person rolled back is not published again by the next schedule', async () => {
  const bad = (await readIncumbent(models, 'tiny'))?.digest;
  await rollback(models, 'tiny', { reason: 'searches for shoes find hats' });
  expect(await execute({ recipe: 'tiny' })).toMatchObject({ end: 'NothingToRun', ran: [] });
  expect((await readIncumbent(models, 'tiny'))?.manifest.version).toBe('1');
  await rollback(models, 'tiny', { to: bad, reason: 'it was the hats' });
});

/** As S3 tells it: the key of each pointer that was written since. */
async function push(...words: string[]): Promise<{ event: string; moved?: boolean; sent?: { files: number } }> {
  const { code, stdout, stderr } = await data(repository.root, ['push', ...words, '--json'], aws.env);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

it('new data is trained by its own event, and the same data again is not', async () => {
  const POINTER = { pointer: 'datasets/tiny/current.json' };
  // Submitted by hand before: the pointer names what is stored, and everything is trained on it.
  expect(await push(RECIPE)).toMatchObject({ event: 'pushed', moved: true, submitted: true, sent: { files: 0 } });
  expect(await execute(POINTER)).toMatchObject({ end: 'NothingToRun', ran: [] });

  plantModel(repository.root, smallModel('4'));
  writeFileSync(join(repository.root, 'data', 'train-2.tar'), 'what came this week');
  expect(await push(join(repository.root, 'data'), '--name', 'tiny')).toMatchObject({
    moved: true,
    sent: { files: 1 },
  });
  const { ran, end, error } = await execute(POINTER);
  expect({ end, error, first: ran[0], last: ran.at(-1) }).toEqual({
    end: 'Done',
    error: null,
    first: 'prepare',
    last: 'evaluate',
  });
  expect((await readIncumbent(models, 'tiny'))?.manifest.version).toBe('4');
  // The status that a person asks for is that of the new data.
  const status = await train(repository.root, ['status', RECIPE, '--on', 'aws', '--json'], aws.env);
  const { stages } = JSON.parse(status.stdout) as { stages: { status: string }[] };
  expect(stages.every((stage) => stage.status === 'succeeded')).toBe(true);

  expect(await push(RECIPE)).toMatchObject({ moved: false, sent: { files: 0 } });
  expect(await execute({ recipe: 'tiny' })).toMatchObject({ end: 'NothingToRun', ran: [] });
  const shown = await data(repository.root, ['show', 'tiny'], aws.env);
  expect(shown.stdout).toMatch(/^tiny {2}sha256:[0-9a-f]{64} {2}6 files, .*\n {2}counts\n/);
  expect(shown.stdout).toContain('train-2.tar');
});
