// `npm run train -- --on aws` from outside: against AWS's APIs over HTTP, with jobs that run as the real container does.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BatchClient, DescribeJobsCommand, ListJobsCommand } from '@aws-sdk/client-batch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ObjectStore } from '../../api/registry/store.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { type AwsEmulator, type Deployment, deploy, startAws } from '../support/aws-emulator.ts';
import { createRepository, startTrain, type TinyRepository, train } from '../support/tiny-repository.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const RECIPE = 'recipes/tiny.json';
/** `mntp` takes eight seconds: long enough to look at it and to end it. */
const SLOW = { SLOW_STAGE: 'mntp' };

interface Cloud {
  aws: AwsEmulator;
  repository: TinyRepository;
  deployment: Deployment;
  store: ObjectStore;
  batch: BatchClient;
  /** The command with --on aws and --json: its exit code and its events. */
  run(...args: string[]): Promise<{ code: number | null; events: CommandEvent[]; stderr: string }>;
  /** Asks for the status until `holds` says yes. */
  until(holds: (stages: Map<string, StageRow>) => boolean): Promise<Map<string, StageRow>>;
}

interface CommandEvent {
  event: string;
  id?: string;
  [key: string]: unknown;
}
interface StageRow {
  id: string;
  status: string | null;
  reason: string | null;
  job_id: string | null;
  seconds: number | null;
  attempts: number | null;
}

async function startCloud(env: Record<string, string> = {}): Promise<Cloud> {
  const repository = createRepository((recipe) => {
    recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  });
  const aws = await startAws(join(repository.root, 'trainer'), env);
  const deployment = await deploy(aws, join(repository.root, 'cdk-outputs.json'));
  const credentials = { accessKeyId: 'testing', secretAccessKey: 'testing' };
  process.env.AWS_REGION = 'us-east-1';
  const run: Cloud['run'] = async (...args) => {
    const { code, stdout, stderr } = await train(repository.root, [...args, '--on', 'aws', '--json'], aws.env);
    const events =
      stdout.trim() === ''
        ? []
        : stdout
            .trim()
            .split('\n')
            .map((line): CommandEvent => JSON.parse(line));
    return { code, events, stderr };
  };
  return {
    aws,
    repository,
    deployment,
    store: openStore(`s3://${deployment.trainingBucket}`, { endpoint: aws.endpoint, credentials }),
    batch: new BatchClient({ endpoint: aws.endpoint, region: 'us-east-1', credentials }),
    run,
    async until(holds) {
      for (let attempt = 0; attempt < 100; attempt += 1) {
        const { events, stderr } = await run('status', RECIPE);
        const [status] = events;
        if (status === undefined) throw new Error(stderr);
        const stages = new Map((status.stages as StageRow[]).map((row) => [row.id, row]));
        if (holds(stages)) return stages;
        await new Promise((wake) => setTimeout(wake, 300));
      }
      throw new Error('the jobs never came to that');
    },
  };
}

const isOver = (stages: Map<string, StageRow>): boolean =>
  [...stages.values()].every(({ status }) => status !== 'queued' && status !== 'running');

async function text(store: ObjectStore, key: string): Promise<string> {
  return (await (await store.get(key))?.text()) ?? '';
}

function ids(events: CommandEvent[], name: string): (string | undefined)[] {
  return events.filter(({ event }) => event === name).map(({ id }) => id);
}

describe('a recipe on AWS', () => {
  let cloud: Cloud;
  beforeAll(async () => {
    cloud = await startCloud();
  });
  afterAll(() => cloud.aws.stop());

  it('is planned with the addresses that it has here, with prices, and nothing is written', async () => {
    const here = await train(cloud.repository.root, [RECIPE, '--plan', '--json']);
    const [, local] = here.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { code, events } = await cloud.run(RECIPE, '--plan');
    const plan = events.find(({ event }) => event === 'plan');
    expect(code).toBe(0);
    const rows = plan?.stages as { address: string; output: string; limit_usd: number; estimated_usd: number | null }[];
    expect(rows.map(({ address }) => address)).toEqual(local.stages.map(({ address }: { address: string }) => address));
    expect(rows.every(({ output }) => output.startsWith(`s3://${cloud.deployment.trainingBucket}/runs/tiny/`))).toBe(
      true,
    );
    // mntp may run 48 hours, at worst on a g6e.4xlarge at 3.00424 dollars an hour.
    expect(rows[1]?.limit_usd).toBeCloseTo(144.2, 2);
    expect(rows[1]?.estimated_usd).toBeNull();
    expect(plan?.prices).toEqual({ date: '2026-08-17', region: 'us-east-1' });
    expect(await cloud.store.list('')).toEqual([]);
    const shown = await train(cloud.repository.root, [RECIPE, '--plan', '--on', 'aws'], cloud.aws.env);
    expect(shown.stdout).toContain('0 finished, 11 to run: 11 of unknown length');
    // Five `train` jobs, two `embed` of 12 hours, four `cpu` of 6 hours at 4 vCPUs and 16 GiB.
    expect(shown.stdout).toContain('at most $798.71 by the time limits (prices of 2026-08-17, us-east-1;');
  });

  it('is refused before anything is sent where its stages are not those of the deployed image, by their names', async () => {
    const { root } = cloud.repository;
    const clip = join(root, 'trainer/stages/clip.py');
    const deployed = readFileSync(clip, 'utf8');
    const refused = async (...args: string[]) => {
      const { code, events } = await cloud.run(RECIPE, ...args);
      expect(code).toBe(2);
      return events.at(-1)?.message;
    };
    writeFileSync(clip, `${deployed}\nprint("edited")\n`);
    expect(await refused()).toContain(
      "the deployment's image holds another source of clip than this checkout, and would refuse the jobs: deploy again with npm run deploy -- --environment NAME, or check out what was deployed",
    );
    // What comes before it is the same here and there.
    expect((await cloud.run(RECIPE, '--to', 'embed_images', '--plan')).code).toBe(0);
    writeFileSync(clip, `${deployed}\n# A comment is no other source.\n`);
    expect((await cloud.run(RECIPE, '--plan')).code).toBe(0);
    writeFileSync(clip, deployed);
    const outputs = join(root, 'cdk-outputs.json');
    const written = readFileSync(outputs, 'utf8');
    writeFileSync(outputs, written.replace('StageCode', 'Other'));
    expect(await refused()).toContain('does not say which source of the stages its image holds: deploy again');
    writeFileSync(outputs, written);
    expect(await cloud.store.list('')).toEqual([]);
    const { jobSummaryList = [] } = await cloud.batch.send(
      new ListJobsCommand({ jobQueue: 'gpu-queue', filters: [{ name: 'JOB_NAME', values: ['tiny_*'] }] }),
    );
    expect(jobSummaryList).toEqual([]);
  });

  it('is submitted once: data under its digest, each job after those it needs, and runs to the end', async () => {
    const first = await cloud.run(RECIPE);
    expect(first.code).toBe(0);
    const submitted = first.events.filter(({ event }) => event === 'submitted');
    expect(submitted.map(({ id }) => id)).toEqual([
      'prepare',
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
    expect(submitted.every(({ already }) => already === false)).toBe(true);

    const again = await cloud.run(RECIPE);
    const jobIds = new Map(submitted.map(({ id, job_id }) => [id, job_id]));
    for (const { id, job_id } of again.events.filter(({ event }) => event === 'submitted'))
      expect(job_id, id).toBe(jobIds.get(id));

    const { jobs = [] } = await cloud.batch.send(
      new DescribeJobsCommand({ jobs: submitted.map(({ job_id }) => String(job_id)) }),
    );
    const evaluate = jobs.find(({ jobName }) => jobName?.startsWith('tiny_evaluate_'));
    expect(evaluate?.dependsOn?.map(({ jobId }) => jobId)).toEqual(
      ['prepare', 'embed_captions', 'clip', 'distill', 'export'].map((id) => jobIds.get(id)),
    );
    expect(evaluate?.tags).toMatchObject({ recipe: 'tiny', job: 'evaluate', stage: 'evaluate' });
    expect(evaluate?.jobQueue).toBe(cloud.deployment.queues.cpu);
    expect(jobs.find(({ jobName }) => jobName?.startsWith('tiny_clip_'))?.jobQueue).toBe(cloud.deployment.queues.train);

    const stages = await cloud.until(isOver);
    expect([...stages.values()].map(({ status }) => status)).toEqual(Array(11).fill('succeeded'));
    const keys = (await cloud.store.list('data/')).map(({ key }) => key);
    // The contents of the five files are their names.
    const named = ['classes.json', 'dev.tar', 'plain.jsonl', 'train-0.tar', 'train-1.tar'].map(
      (name) => `data/files/${createHash('sha256').update(name).digest('hex')}`,
    );
    expect(keys.slice(0, 5)).toEqual(named.toSorted());
    expect(keys.slice(5)).toEqual([expect.stringMatching(/^data\/sha256\/[0-9a-f]{64}\/index\.json$/)]);
    const after = await cloud.run(RECIPE);
    expect(ids(after.events, 'submitted')).toEqual([]);
    const { jobSummaryList = [] } = await cloud.batch.send(
      new ListJobsCommand({ jobQueue: 'gpu-queue', filters: [{ name: 'JOB_NAME', values: ['tiny_*'] }] }),
    );
    expect(jobSummaryList).toHaveLength(7);
  });

  it('shows the log of a stage that has ended', async () => {
    const { code, stdout } = await train(cloud.repository.root, ['logs', RECIPE, 'clip', '--on', 'aws'], cloud.aws.env);
    expect(code).toBe(0);
    expect(stdout).toContain('a stray line on standard output');
    expect(stdout).toContain('"step": 3, "total": 3');
  });

  it('costs by the runs that were measured, once there are some on a comparable machine', async () => {
    const file = cloud.repository.recipeFile;
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace('"parity_samples":2', '"parity_samples":3'));
    const { events } = await cloud.run(RECIPE, '--plan');
    writeFileSync(file, before);
    const rows = events.find(({ event }) => event === 'plan')?.stages as {
      id: string;
      estimated_seconds: number;
      estimated_usd: number;
    }[];
    const evaluate = rows.find(({ id }) => id === 'evaluate');
    // The reports say 60 seconds; an hour of 4 vCPUs and 16 GiB on Fargate is 4 * 0.04048 + 16 * 0.004445 dollars.
    expect(evaluate?.estimated_seconds).toBe(60);
    expect(evaluate?.estimated_usd).toBeCloseTo(0.23304 / 60, 6);
  });
});

describe('a stage that fails on AWS', () => {
  it('ends what waits for it; fixed, the same command submits it and what follows, and nothing else', async () => {
    const cloud = await startCloud();
    try {
      const broken = join(cloud.repository.root, 'broken-stage');
      writeFileSync(broken, 'contrastive');
      await cloud.run(RECIPE, '--to', 'embed_captions');
      const failed = await cloud.until((stages) => stages.get('embed_captions')?.status === 'failed');
      expect(failed.get('contrastive')).toMatchObject({
        status: 'failed',
        reason: 'Essential container in task exited, exit 3',
      });
      expect(failed.get('mntp')?.status).toBe('succeeded');
      expect((await cloud.run('status', RECIPE)).code).toBe(1);
      const { stdout } = await train(
        cloud.repository.root,
        ['logs', RECIPE, 'contrastive', '--on', 'aws'],
        cloud.aws.env,
      );
      expect(stdout).toContain('the loss is not finite at step 1');

      rmSync(broken);
      const { events } = await cloud.run(RECIPE, '--to', 'embed_captions');
      expect(ids(events, 'submitted')).toEqual(['contrastive', 'embed_captions']);
      await cloud.until((stages) => stages.get('embed_captions')?.status === 'succeeded');
    } finally {
      cloud.aws.stop();
    }
  });
});

describe('cancel', () => {
  it('ends what runs and what waits; what had started goes on from its checkpoint when it is submitted again', async () => {
    const cloud = await startCloud(SLOW);
    try {
      await cloud.run(RECIPE, '--to', 'contrastive');
      await cloud.until((stages) => stages.get('mntp')?.status === 'running');
      const follow = startTrain(
        cloud.repository.root,
        ['logs', RECIPE, 'mntp', '--follow', '--on', 'aws'],
        cloud.aws.env,
      );
      // Long enough for some steps, far from all 400.
      await new Promise((wake) => setTimeout(wake, 2000));
      const { code, events } = await cloud.run('cancel', RECIPE);
      expect(code).toBe(0);
      expect(ids(events, 'cancelled')).toEqual(['contrastive', 'mntp']);
      const stages = await cloud.until(isOver);
      expect(stages.get('mntp')?.status).toBe('cancelled');
      expect(stages.get('mntp')?.reason).toMatch(/^cancelled by /);
      expect(stages.get('contrastive')?.status).toBe('cancelled');
      expect((await follow.ended).code).toBe(0);

      const [folder = ''] = (await cloud.store.list('runs/tiny/mntp')).map(({ key }) =>
        key.split('/').slice(0, 3).join('/'),
      );
      const reached = Number(await text(cloud.store, `${folder}/checkpoint.pt`));
      expect(reached).toBeGreaterThan(0);
      expect(reached).toBeLessThan(400);
      expect(await cloud.store.get(`${folder}/report.json`)).toBeUndefined();

      const resumed = await cloud.run(RECIPE, '--to', 'mntp');
      expect(ids(resumed.events, 'submitted')).toEqual(['mntp']);
      await cloud.until((rows) => rows.get('mntp')?.status === 'succeeded');
      const log = await train(cloud.repository.root, ['logs', RECIPE, 'mntp', '--on', 'aws'], cloud.aws.env);
      expect(/"step": (\d+)/.exec(log.stdout)?.[1]).toBe(String(reached + 1));
      const steps = (await text(cloud.store, `${folder}/trace.txt`)).trim().split('\n').map(Number);
      expect(steps).toEqual(Array.from({ length: 400 }, (_, index) => index));

      const nothing = await cloud.run('cancel', RECIPE);
      expect(nothing.code).toBe(2);
      expect(nothing.events.at(-1)?.message).toContain('there is nothing to cancel');
    } finally {
      cloud.aws.stop();
    }
  });
});

describe('what cannot be', () => {
  const { root } = createRepository((recipe) => {
    recipe.mntp.language_model = { source: 'directory', name: 'llama' };
  });
  const outputs = join(root, 'cdk-outputs.json');
  const here = { AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL: 'http://127.0.0.1:9' };

  it.each([
    [[RECIPE, '--on', 'aws'], 'deploy first, with npm run deploy -- --environment NAME'],
    [[RECIPE, '--on', 'azure'], 'there is only aws'],
    [['status', RECIPE], 'status is for jobs on AWS: add --on aws'],
    [['logs', RECIPE, '--on', 'aws'], 'logs of which stage?'],
    [[RECIPE, '--follow'], '--follow goes with logs'],
    [['cancel', RECIPE, '--on', 'aws', '--plan'], 'cancel takes neither --plan'],
    [[RECIPE, '--on', 'aws', '--runs', 'x'], 'neither --runs nor --install'],
    [[RECIPE, 'clip'], 'one recipe at a time, not also clip'],
  ])('is refused with what to do: %j', async (args, sentence) => {
    const { code, stderr } = await train(root, args, here);
    expect(code).toBe(2);
    expect(stderr).toContain(sentence);
  });

  it('an outputs file of something else, or a folder of weights that is not there, is named', async () => {
    writeFileSync(outputs, '{"stack": {"Bucket": "b"}}');
    expect((await train(root, [RECIPE, '--on', 'aws'], here)).stderr).toContain('has no output TrainingBucket');
    const names = [
      'TrainingBucket',
      'QueueCpu',
      'QueueGpu',
      'JobDefinitionCpu',
      'JobDefinitionEmbed',
      'JobDefinitionTrain',
      'TrainingLogs',
    ];
    writeFileSync(outputs, JSON.stringify({ stack: Object.fromEntries(names.map((name) => [name, 'x'])) }));
    const { stderr } = await train(root, [RECIPE, '--on', 'aws'], here);
    expect(stderr).toContain('mntp.language_model is the folder llama of this machine, and there is no folder');
  });

  it.each([
    [{}, 'no AWS region is set: set AWS_REGION'],
    [{ AWS_REGION: 'us-east-1' }, 'no AWS credentials were found: set AWS_PROFILE'],
    [{ ...here, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }, 'AWS cannot be reached (connect ECONNREFUSED'],
  ])('what is missing to reach AWS is named: %j', async (env, sentence) => {
    const repository = createRepository((recipe) => {
      recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
    });
    writeFileSync(join(repository.root, 'cdk-outputs.json'), readFileSync(outputs));
    const nobody = { HOME: repository.root, AWS_EC2_METADATA_DISABLED: 'true', ...env };
    const { code, stderr } = await train(repository.root, [RECIPE, '--on', 'aws', '--plan'], nobody);
    expect(stderr).toContain(sentence);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(2);
  });
});
