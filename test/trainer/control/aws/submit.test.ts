// Submitting a recipe to Batch where jobs go on between the plan and the submission.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { byJobClass } from '../../../../contracts/src/job-classes.ts';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { BatchJob } from '../../../../trainer/control/aws/batch.ts';
import { planOnAws, submitRecipe } from '../../../../trainer/control/aws/submit.ts';
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
  const deployment = { trainingBucket: 'x', modelsBucket: 'x', logGroup: 'x', queues, jobDefinitions: queues };
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
