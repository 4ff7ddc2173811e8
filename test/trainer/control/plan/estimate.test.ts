// Estimates of time: work is scaled from earlier runs, containers share what is done side by side.
import { expect, it } from 'vitest';
import { byStage } from '../../../../contracts/src/stages.ts';
import { comparableHere, estimateRun, type PastRun } from '../../../../trainer/control/plan/estimate.ts';
import { createPlan, digestOf } from '../../../../trainer/control/plan/plan.ts';
import { pricedStagePlans } from '../../../../trainer/control/plan/stage-plan.ts';
import { tinyRecipe } from '../../../support/tiny-recipe.ts';

const plan = createPlan(tinyRecipe(), {
  code: byStage(digestOf),
  data: { uri: 's3://bucket/data', digest: digestOf('data'), parts: {} },
  runs: 's3://bucket/runs',
  finished: new Map(),
});
const [prepare] = plan.jobs;
if (prepare === undefined) throw new Error('the recipe has no job');

/** A run of prepare whose elements took an hour of work of its 61 minutes, in however many containers. */
const past: PastRun = {
  job: prepare.job,
  report: {
    schema_version: 1,
    id: 'prepare',
    stage: 'prepare',
    status: 'succeeded',
    started_at: '2026-01-01T00:00:00.000Z',
    seconds: 3660,
    device: 'cpu',
    metrics: { element_seconds: 3600 },
    artefacts: {},
    notes: [],
  },
};

it('containers share the elements of prepare; the join takes as long as ever', () => {
  expect(estimateRun(prepare.job, [past])).toEqual({ work: 3660, elapsed: 3660 });
  expect(estimateRun(prepare.job, [past], 10)).toEqual({ work: 3660, elapsed: 60 + 360 });
  expect(estimateRun(prepare.job, [])).toBeUndefined();
});

it('a run beside others counts where none was by itself, as faster by its share of the machine', () => {
  const beside = { ...past, slowdown: 2 };
  expect(estimateRun(prepare.job, [beside])).toEqual({ work: 1830, elapsed: 1830 });
  expect(estimateRun(prepare.job, [beside], 10)).toEqual({ work: 1830, elapsed: 30 + 180 });
  expect(estimateRun(prepare.job, [beside, past, beside])).toEqual({ work: 3660, elapsed: 3660 });
});

it('an array takes less time than one container and costs as much', () => {
  const [alone] = pricedStagePlans([prepare], [past]);
  const [array] = pricedStagePlans([{ ...prepare, arraySize: 10 }], [past]);
  expect(alone?.estimated_seconds).toBe(3660);
  expect(array?.estimated_seconds).toBe(420);
  expect(array?.estimated_usd).toBe(alone?.estimated_usd);
});

it('a soup, which takes no step, says nothing of a training that takes them all, nor the other way round', () => {
  const clip = plan.jobs.find(({ job }) => job.id === 'clip')?.job;
  if (clip?.config.stage !== 'clip') throw new Error('the recipe has no clip');
  const soup = { ...clip, config: { ...clip.config, soup: ['../runs/a', '../runs/b'] } };
  const ran = (job: typeof clip, seconds: number): PastRun => ({
    job,
    report: { ...past.report, metrics: {}, seconds },
  });
  expect(estimateRun(clip, [ran(clip, 36_000), ran(soup, 60)])).toEqual({ work: 36_000, elapsed: 36_000 });
  expect(estimateRun(soup, [ran(clip, 36_000)])).toBeUndefined();
  expect(estimateRun(soup, [ran(clip, 36_000), ran(soup, 60)])).toEqual({ work: 60, elapsed: 60 });
});

it('earlier runs on another device, or on another number of GPUs, say nothing of this machine', () => {
  const clip = plan.jobs.find(({ job }) => job.id === 'clip')?.job;
  if (clip === undefined) throw new Error('the recipe has no clip');
  const ran = (device: string, ranks: number): PastRun => ({
    job: clip,
    report: { ...past.report, device, notes: ranks === 1 ? [] : [`trained by ${ranks} ranks`] },
  });
  const [slow, shared, one, eight] = [ran('cpu', 1), ran('cpu', 2), ran('cuda:0', 1), ran('cuda:0', 8)];
  const all = [past, slow, shared, one, eight].filter((run) => run !== undefined);
  expect(comparableHere(all, { gpus: 0, ranks: 1 })).toEqual([past, slow, shared]);
  expect(comparableHere(all, { gpus: 8, ranks: 8 })).toEqual([eight]);
  expect(comparableHere(all, { gpus: 8, ranks: 1 })).toEqual([one]);
  // PyTorch without CUDA leaves the GPUs alone.
  expect(comparableHere([past], { gpus: 8, ranks: 1 })).toEqual([past]);
  const prepared = { ...past, report: { ...past.report, device: 'cuda:0' } };
  expect(comparableHere([prepared], { gpus: 8, ranks: 8 })).toEqual([prepared]);
});
