// Selecting jobs of a plan by --to and --only: what is selected, and why a selection is refused.
import { expect, it } from 'vitest';
import { byStage, inputsOf, type StageName } from '../../../../contracts/src/stages.ts';
import type { TrainingReport } from '../../../../contracts/src/training/job.ts';
import { createPlan, digestOf, type Plan } from '../../../../trainer/control/plan/plan.ts';
import { type Selection, selectJobs } from '../../../../trainer/control/plan/select-jobs.ts';
import { TINY_STAGES, tinyComparison, tinyRecipe } from '../../../support/tiny-recipe.ts';

/** A plan in which the jobs of these ids have finished. */
function planWith(finished: string[] = []): Plan {
  const sources = {
    code: byStage(digestOf),
    data: { uri: 's3://bucket/data', digest: digestOf('data'), parts: {} },
    runs: 's3://bucket/runs',
  };
  const plan = createPlan({ ...tinyRecipe(), ...tinyComparison() }, { ...sources, finished: new Map() });
  const report: TrainingReport = {
    id: '',
    stage: '',
    status: 'succeeded',
    started_at: '2026-01-01T00:00:00.000Z',
    seconds: 1,
    device: 'cpu',
    metrics: {},
    artefacts: {},
    notes: [],
  };
  const outputs = plan.jobs.filter(({ job }) => finished.includes(job.id)).map(({ job }) => job.output);
  return createPlan(
    { ...tinyRecipe(), ...tinyComparison() },
    { ...sources, finished: new Map(outputs.map((output) => [output, report])) },
  );
}

function ids(selection: Selection, plan = planWith()): string[] {
  return selectJobs(plan, selection).map(({ job }) => job.id);
}

/** The stages of the recipe that one needs, and itself, in the order of the table. */
function neededBy(stage: StageName): string[] {
  const before = (name: StageName): StageName[] => [
    name,
    ...TINY_STAGES.filter((input) => inputsOf(name).includes(input)).flatMap(before),
  ];
  return TINY_STAGES.filter((name) => before(stage).includes(name));
}

it('without --to and --only selects every job', () => {
  expect(ids({})).toEqual(planWith().jobs.map(({ job }) => job.id));
});

it('with --to selects the stage with everything it needs, in order', () => {
  expect(ids({ to: 'embed_captions' })).toEqual(['prepare', 'mntp', 'contrastive', 'embed_captions']);
  expect(ids({ to: 'export' }).filter((id) => id.startsWith('clip'))).toEqual(['clip']);
  expect(ids({ to: 'compare' }).filter((id) => id.startsWith('clip'))).toHaveLength(4);
  expect(ids({ to: 'evaluate' })).toEqual(neededBy('evaluate'));
});

it('with --only selects that one stage when its inputs are finished', () => {
  const inputs = ['prepare', 'embed_captions', 'embed_images', 'inherit'];
  expect(ids({ only: 'clip-base-2' }, planWith(inputs))).toEqual(['clip-base-2']);
});

it('with --only refuses a stage whose inputs are missing and names them', () => {
  expect(() => ids({ only: 'clip-base-2' }, planWith(['prepare', 'embed_images', 'inherit']))).toThrow(
    'clip-base-2 needs embed_captions, not finished yet: use --to clip-base-2 to run both',
  );
});

it('with --only takes a finished stage whatever became of its inputs', () => {
  expect(ids({ only: 'mntp' }, planWith(['mntp']))).toEqual(['mntp']);
});

it('refuses a name that the plan does not have and lists those it has', () => {
  expect(() => ids({ to: 'clip-llm-9' })).toThrow(/^no stage clip-llm-9 in this recipe; it has prepare, .*mntp, /);
});
