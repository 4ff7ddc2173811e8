// Submitting a recipe to Batch where jobs go on between the plan and the submission.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { byJobClass } from '../../../../contracts/src/job-classes.ts';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { BatchJob } from '../../../../trainer/control/aws/batch.ts';
import { findJob } from '../../../../trainer/control/aws/clients.ts';
import { planOnAws, submitRecipe } from '../../../../trainer/control/aws/submit.ts';
import { readSubmittedPlan } from '../../../../trainer/control/aws/submitted-plan.ts';
import { toPipelineStage } from '../../../../trainer/control/plan/pipeline-plan.ts';
import { foldersOf } from '../../../../trainer/control/recipe/locate.ts';
import type { RunEvent } from '../../../../trainer/control/run/events.ts';
import { tinyRecipe } from '../../../support/tiny-recipe.ts';

const REPORT = {
  id: 'prepare',
  stage: 'prepare',
  status: 'succeeded',
  started_at: '2026-11-25T12:00:00.000Z',
  seconds: 7,
  device: 'cpu',
  metrics: {},
  artefacts: {},
  notes: [],
};

/** Submits a recipe whose `prepare` has a Batch job in that state; `writesReport`: it ended after the plan was made. */
async function submit(
  status: BatchJob['status'],
  writesReport: boolean,
): Promise<Extract<RunEvent, { id: unknown }>[]> {
  const store = openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);
  const recipe = tinyRecipe();
  recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  const code = byStage(() => `sha256:${'c'.repeat(64)}`);
  const data = { digest: `sha256:${'d'.repeat(64)}`, parts: {}, files: [] };
  const { plan } = await planOnAws({ recipe, code, data, store });
  const prepare = plan.jobs[0]?.job.output.slice(store.uri.length + 1);
  if (writesReport) await store.put(`${prepare}/report.json`, Buffer.from(JSON.stringify(REPORT)));
  const before: BatchJob = {
    job_id: 'earlier',
    job_name: '',
    status,
    reason: undefined,
    exit_code: 0,
    attempts: 1,
    started_at: undefined,
    stopped_at: undefined,
    log_stream: undefined,
  };
  const batch = {
    find: async (_: string, name: string) => (name.startsWith('tiny_prepare_') ? before : undefined),
    submit: async () => 'new',
    terminate: async () => {},
  };
  const queues = byJobClass((_, { queue }) => queue);
  const deployment = { trainingBucket: 'x', logGroup: 'x', queues, jobDefinitions: queues };
  const events: RunEvent[] = [];
  const clients = { deployment, store, batch, emit: (event: RunEvent) => void events.push(event) };
  await submitRecipe({ recipe, code, data, folder: '/', jobs: plan.jobs }, clients);
  return events.filter((event) => 'id' in event);
}

it('a job that has finished since the plan was made is reused and not submitted again', async () => {
  const [prepare, mntp] = await submit('succeeded', true);
  expect(prepare).toMatchObject({ event: 'reused', id: 'prepare' });
  expect(mntp).toMatchObject({ event: 'submitted', id: 'mntp', job_id: 'new' });
});

it('a job that ended with 0 and left no report is submitted again', async () => {
  const [prepare] = await submit('succeeded', false);
  expect(prepare).toMatchObject({ event: 'submitted', id: 'prepare', job_id: 'new', already: false });
});

it('a job that is still active is waited for', async () => {
  const [prepare] = await submit('running', false);
  expect(prepare).toMatchObject({ event: 'submitted', id: 'prepare', job_id: 'earlier', already: true });
});

it('weights are uploaded once, named by their content, and found again by the plan of the request', async () => {
  const store = openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);
  const trainer = mkdtempSync(join(tmpdir(), 'trainer-'));
  mkdirSync(join(trainer, 'llama'));
  writeFileSync(join(trainer, 'llama', 'model.safetensors'), 'weights');
  const recipe = tinyRecipe();
  recipe.mntp.language_model = { source: 'directory', name: 'llama' };
  const code = byStage(() => `sha256:${'c'.repeat(64)}`);
  const data = { digest: `sha256:${'d'.repeat(64)}`, parts: {}, files: [] };
  const queues = byJobClass((_, { queue }) => queue);
  const deployment = { trainingBucket: 'x', logGroup: 'x', queues, jobDefinitions: queues };
  const batch = { find: async () => undefined, submit: async () => 'new', terminate: async () => {} };
  const submitted = async (): Promise<string[]> => {
    const folders = await foldersOf({ recipe, data: '/' }, { trainer, runs: trainer, onRead: () => {} });
    const { plan } = await planOnAws({ recipe, code, data, folders, store });
    const put: string[] = [];
    const watched: typeof store = Object.create(store, {
      put: {
        value: (...args: Parameters<typeof store.put>) => {
          put.push(args[0]);
          return store.put(...args);
        },
      },
    });
    const clients = { deployment, store: watched, batch, emit: () => {} };
    await submitRecipe({ recipe, code, data, folder: '/', folders, jobs: plan.jobs }, clients);
    const again = await readSubmittedPlan('tiny', store);
    expect(again.plan.jobs.map(({ job }) => job.output)).toEqual(plan.jobs.map(({ job }) => job.output));
    return put.filter((key) => key.startsWith('data/') && !key.includes('d'.repeat(64)));
  };
  const [file = '', index = ''] = await submitted();
  expect(file).toBe(`data/files/${createHash('sha256').update('weights').digest('hex')}`);
  expect(index).toMatch(/^data\/sha256\/[0-9a-f]{64}\/index\.json$/);
  expect(await submitted()).toEqual([]);
  const { plan } = await readSubmittedPlan('tiny', store);
  const mntp = plan.jobs.find(({ job }) => job.id === 'mntp')?.job;
  const uri = `${store.uri}/${index.replace('/index.json', '')}`;
  expect(mntp?.weights).toEqual([{ path: 'llama', uri, file: null }]);
  expect(plan.jobs.find(({ job }) => job.id === 'clip')?.job.weights).toBeUndefined();
  // Other weights in the same place are other work.
  writeFileSync(join(trainer, 'llama', 'model.safetensors'), 'others!');
  await submitted();
  const changed = (await readSubmittedPlan('tiny', store)).plan.jobs.find(({ job }) => job.id === 'mntp');
  expect(changed?.job.output).not.toBe(mntp?.output);
});

it('a job class that is not deployed is refused by name, and one that changed while its job runs is found', async () => {
  const recipe = tinyRecipe();
  recipe.job_classes = { clip: 'train_8_h100' };
  const store = openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);
  const code = byStage(() => `sha256:${'c'.repeat(64)}`);
  const { plan } = await planOnAws({ recipe, code, data: { digest: `sha256:${'d'.repeat(64)}`, parts: {} }, store });
  const clip = plan.jobs.find(({ job }) => job.id === 'clip');
  if (clip === undefined) throw new Error('no clip');
  const queues = { cpu: 'cpu', embed: 'gpu', train: 'gpu' };
  expect(() => toPipelineStage(clip, { queues, jobDefinitions: queues })).toThrow(
    'job_classes.clip is train_8_h100, which is not deployed (there is cpu, embed, train)',
  );
  const running = { job_id: 'one', status: 'running' } as BatchJob;
  const ended = { job_id: 'two', status: 'failed' } as BatchJob;
  const deployment = { ...queues, queues: { ...queues, train_8_h100: 'h100' } };
  const find = async (queue: string) => (queue === 'gpu' ? running : ended);
  const clients = { deployment, batch: { find } } as unknown as Parameters<typeof findJob>[1];
  expect(await findJob(clip, clients)).toBe(running);
});
