// The status of a recipe on AWS where bucket and Batch disagree: they are asked one after the other, and jobs go on meanwhile.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { byJobClass } from '../../../../contracts/src/job-classes.ts';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { BatchJob } from '../../../../trainer/control/aws/batch.ts';
import { printStageLog } from '../../../../trainer/control/aws/stage-log.ts';
import { readStatus } from '../../../../trainer/control/aws/status.ts';
import { planOnAws, submitRecipe } from '../../../../trainer/control/aws/submit.ts';
import type { RunEvent } from '../../../../trainer/control/run/events.ts';
import { tinyRecipe } from '../../../support/tiny-recipe.ts';

const arns = byJobClass((_, { queue }) => queue);
const deployment = { trainingBucket: 'x', logGroup: 'x', queues: arns, jobDefinitions: arns };
const digest = (digit: string) => `sha256:${digit.repeat(64)}`;

/** A recipe that was submitted; `find` is what Batch says of each of its jobs. */
async function submitted(
  find: (name: string, write: (path: string, text: string) => Promise<unknown>) => Promise<Partial<BatchJob>>,
) {
  const store = openStore(`file://${mkdtempSync(join(tmpdir(), 'bucket '))}`);
  const recipe = tinyRecipe();
  recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  const code = byStage(() => digest('c'));
  const { plan } = await planOnAws({ recipe, code, data: { digest: digest('d'), parts: {} }, store });
  const events: RunEvent[] = [];
  const ended: BatchJob = {
    job_id: 'j',
    job_name: '',
    status: 'succeeded',
    reason: undefined,
    exit_code: 0,
    attempts: 1,
    started_at: undefined,
    stopped_at: undefined,
    log_stream: undefined,
  };
  let isSubmitted = false;
  const batch = {
    find: async (_: string, name: string) =>
      isSubmitted ? { ...ended, ...(await find(name, (path, text) => store.put(path, Buffer.from(text)))) } : undefined,
    submit: async () => 'j',
    terminate: async () => {},
  };
  const logs = { read: async () => ({ lines: [] }), tail: async () => [] };
  const clients = { deployment, store, batch, logs, emit: (event: RunEvent) => void events.push(event) };
  const data = { digest: digest('d'), parts: {}, files: [] };
  await submitRecipe({ recipe, code, data, folder: '/', jobs: plan.jobs }, clients);
  isSubmitted = true;
  const prefix = (id: string) =>
    plan.jobs.find(({ job }) => job.id === id)?.job.output.slice(store.uri.length + 1) ?? '';
  return { clients, prefix };
}

const report = (id: string) =>
  JSON.stringify({
    id,
    stage: id,
    status: 'succeeded',
    started_at: '2026-11-25T12:00:00.000Z',
    seconds: 7,
    device: 'cpu',
    metrics: {},
    artefacts: {},
    notes: [],
  });

it('a job that ends after the bucket was read and before Batch is asked has finished, not failed', async () => {
  let where = '';
  const { clients, prefix } = await submitted(async (name, write) => {
    if (!name.startsWith('tiny_prepare_')) return { status: 'queued' };
    await write(`${where}/report.json`, report('prepare'));
    return {};
  });
  where = prefix('prepare');
  const [prepare, mntp] = await readStatus('tiny', clients);
  expect(prepare).toMatchObject({ id: 'prepare', status: 'succeeded', seconds: 7 });
  expect(mntp).toMatchObject({ id: 'mntp', status: 'queued' });
});

it('a job that ended with 0 and left no report has failed, and the reason says so', async () => {
  const { clients } = await submitted(async () => ({}));
  const [prepare] = await readStatus('tiny', clients);
  expect(prepare).toMatchObject({ status: 'failed', reason: 'it ended with 0 but its report is not in the bucket' });
});

it('Ctrl-C ends the printing of a long log, too', async () => {
  const { clients } = await submitted(async () => ({ log_stream: 'long' }));
  const stop = new AbortController();
  let reads = 0;
  const read = async () => {
    reads += 1;
    if (reads === 3) stop.abort();
    // As CloudWatch answers while there is more.
    return { lines: reads > 20 ? [] : [{ time: '', message: 'a line' }], token: `${Math.min(reads, 20)}` };
  };
  const logs = { ...clients.logs, read };
  await printStageLog({ recipe: 'tiny', stage: 'mntp', follow: false, stop: stop.signal }, { ...clients, logs });
  expect(reads).toBe(3);
});
