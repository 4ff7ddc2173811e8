// The plan: order, content addresses that follow the graph exactly, cache hits, the comparison's runs.
import { describe, expect, it } from 'vitest';
import { byStage, inputsOf, STAGE_NAMES, type StageName } from '../../../../contracts/src/stages.ts';
import { TrainingJob, type TrainingReport } from '../../../../contracts/src/training/job.ts';
import { createPlan, digestOf, type Plan, type PlanSources } from '../../../../trainer/control/plan/plan.ts';
import { tinyRecipe, type WholeRecipe } from '../../../support/tiny-recipe.ts';

const code = byStage(digestOf);
const sources: PlanSources = {
  code,
  data: { uri: 's3://bucket/data', digest: digestOf('data') },
  runs: 's3://bucket/runs',
  finished: new Map(),
};

function planOf(change: (recipe: WholeRecipe) => void = () => {}, other: Partial<PlanSources> = {}): Plan {
  const recipe = tinyRecipe();
  change(recipe);
  return createPlan(recipe, { ...sources, ...other });
}

function addresses(plan: Plan): Record<string, string> {
  return Object.fromEntries(plan.jobs.map(({ job, contentAddress }) => [job.id, contentAddress]));
}

/** Ids whose address differs from the unchanged plan's. */
function changed(plan: Plan): string[] {
  const before = addresses(planOf());
  return Object.entries(addresses(plan))
    .filter(([id, address]) => before[id] !== address)
    .map(([id]) => id)
    .sort();
}

/** The jobs of a stage: `clip` also runs for the comparison. */
function jobsOf(stage: StageName): string[] {
  return stage === 'clip' ? ['clip', 'clip-llm-2', 'clip-scratch-1', 'clip-scratch-2'] : [stage];
}

/** Jobs that read a stage's output, directly or through others, and its own, as the table of stages says. */
function reachOf(stage: StageName): string[] {
  const readers = STAGE_NAMES.filter((reader) => inputsOf(reader).includes(stage));
  return [...new Set([...jobsOf(stage), ...readers.flatMap(reachOf)])];
}

describe('the order', () => {
  it('puts every input before its reader and the model before the comparison', () => {
    const ids = planOf().jobs.map(({ job }) => job.id);
    const comparison = ['clip-scratch-1', 'clip-llm-2', 'clip-scratch-2'];
    const stages = ids.filter((id) => !comparison.includes(id));
    expect(stages).toEqual(STAGE_NAMES);
    expect(ids.slice(ids.indexOf('export') + 1, ids.indexOf('evaluate'))).toEqual(comparison);
    const seen = new Set<string>();
    for (const { job, needs } of planOf().jobs) {
      for (const id of needs) expect(seen).toContain(id);
      seen.add(job.id);
    }
  });

  it('makes jobs that keep the contract and name folders only by the URIs it was given', () => {
    for (const { job } of planOf().jobs) {
      expect(TrainingJob.parse(job)).toEqual(job);
      for (const uri of [job.output, ...Object.values(job.inputs)])
        expect(uri).toMatch(/^s3:\/\/bucket\/(runs\/tiny\/|data$)/);
    }
  });

  it('gives every stage its inputs by role', () => {
    const roles = Object.fromEntries(planOf().jobs.map(({ job }) => [job.id, Object.keys(job.inputs).sort()]));
    expect(roles).toMatchObject({
      prepare: ['data'],
      mntp: ['prepare'],
      contrastive: ['mntp', 'prepare'],
      embed_captions: ['contrastive', 'prepare'],
      embed_images: ['prepare'],
      clip: ['embed_captions', 'embed_images', 'inherit', 'prepare'],
      distill: ['clip', 'embed_captions', 'prepare'],
      evaluate: [
        'clip',
        'clip_llm_1',
        'clip_llm_2',
        'clip_scratch_1',
        'clip_scratch_2',
        'distill',
        'embed_captions',
        'export',
        'prepare',
      ],
    });
  });
});

describe('content addresses', () => {
  it('are the same for the same recipe, however its keys are ordered', () => {
    const recipe = tinyRecipe();
    const reversed = Object.fromEntries(Object.entries(recipe).reverse()) as WholeRecipe;
    reversed.mntp = Object.fromEntries(Object.entries(recipe.mntp).reverse()) as WholeRecipe['mntp'];
    expect(addresses(createPlan(reversed, sources))).toEqual(addresses(planOf()));
  });

  it.each(STAGE_NAMES)('follow the graph exactly when the code of %s changes', (stage) => {
    const plan = planOf(undefined, { code: { ...code, [stage]: digestOf('edited') } });
    expect(changed(plan)).toEqual(reachOf(stage).toSorted());
  });

  it.each<[StageName, (recipe: WholeRecipe) => void]>([
    ['prepare', ({ prepare }) => (prepare.min_side += 1)],
    ['mntp', ({ mntp }) => (mntp.mask_share = 0.3)],
    ['contrastive', ({ contrastive }) => (contrastive.schedule.lr = 1)],
    ['embed_captions', (recipe) => recipe.embed_captions.prompt_templates.push('{}')],
    ['inherit', ({ inherit }) => (inherit.struct_weight = 2)],
    ['embed_images', ({ embed_images }) => (embed_images.flip = true)],
    ['clip', ({ clip }) => (clip.dropout = 0.5)],
    ['distill', ({ distill }) => (distill.mix.groups = 2)],
    ['export', (recipe) => (recipe.export.version = '2')],
    ['evaluate', ({ evaluate }) => (evaluate.bootstrap_samples = 20)],
  ])('follow the graph exactly when the settings of %s change', (stage, change) => {
    expect(changed(planOf(change))).toEqual(reachOf(stage).toSorted());
  });

  it('all change with the data, and none with where it is stored or what the recipe says about itself', () => {
    expect(changed(planOf(undefined, { data: { uri: sources.data.uri, digest: digestOf('other') } }))).toEqual(
      reachOf('prepare').toSorted(),
    );
    expect(changed(planOf(undefined, { data: { uri: 'file:///elsewhere', digest: sources.data.digest } }))).toEqual([]);
    expect(changed(planOf((recipe) => (recipe.description = 'other words')))).toEqual([]);
  });
});

describe('a recipe without a block', () => {
  it('runs the other stages, each with the address that it has anyway where it read nothing of the missing one', () => {
    const { evaluate: _, comparison: __, ...recipe } = tinyRecipe();
    const plan = createPlan(recipe, sources);
    const ids = plan.jobs.map(({ job }) => job.id);
    expect(ids).toEqual(STAGE_NAMES.filter((stage) => stage !== 'evaluate'));
    expect(addresses(planOf())).toMatchObject(addresses(plan));
  });
});

describe('the comparison', () => {
  it('runs both towers for every seed and uses the main run where it is the same', () => {
    const { jobs } = planOf();
    const byId = new Map(jobs.map(({ job }) => [job.id, job]));
    const evaluate = byId.get('evaluate');
    expect(evaluate?.inputs.clip_llm_1).toBe(byId.get('clip')?.output);
    expect(evaluate?.inputs.clip_scratch_1).toBe(byId.get('clip-scratch-1')?.output);
    expect(byId.get('clip-llm-2')).toMatchObject({ seed: 2, config: { text_tower: 'llm' } });
    expect(byId.get('clip-scratch-2')).toMatchObject({ seed: 2, config: { text_tower: 'scratch' } });
  });

  it('computes the activations of the images once for all seeds and both towers', () => {
    const { jobs } = planOf((recipe) => (recipe.comparison.seeds = [1, 2, 3]));
    const outputs = jobs.filter(({ job }) => job.config.stage === 'embed_images').map(({ job }) => job.output);
    expect(outputs).toHaveLength(1);
    const clips = jobs.filter(({ job }) => job.config.stage === 'clip');
    expect(clips).toHaveLength(6);
    for (const { job } of clips) expect(job.inputs.embed_images).toBe(outputs[0]);
  });

  it('adds nothing without seeds, and an added seed runs again nothing but evaluate', () => {
    expect(planOf((recipe) => (recipe.comparison.seeds = [])).jobs).toHaveLength(STAGE_NAMES.length);
    expect(changed(planOf((recipe) => (recipe.comparison.seeds = [1, 2, 3])))).toEqual([
      'clip-llm-3',
      'clip-scratch-3',
      'evaluate',
    ]);
  });
});

describe('what exists', () => {
  const report: TrainingReport = {
    id: 'mntp',
    stage: 'mntp',
    status: 'succeeded',
    started_at: '2026-01-01T00:00:00Z',
    seconds: 1,
    device: 'cpu',
    metrics: {},
    artefacts: {},
    notes: [],
  };

  it('is a cache hit for the job of that address and for no other', () => {
    const output = planOf().jobs.find(({ job }) => job.id === 'mntp')?.job.output ?? '';
    const finished = new Map([[output, report]]);
    const hits = (plan: Plan): string[] =>
      plan.jobs.filter((planned) => planned.report !== undefined).map(({ job }) => job.id);
    expect(hits(planOf(undefined, { finished }))).toEqual(['mntp']);
    expect(hits(planOf(({ clip }) => (clip.dropout = 0.5), { finished }))).toEqual(['mntp']);
    expect(hits(planOf(({ mntp }) => (mntp.batch_size = 9), { finished }))).toEqual([]);
  });
});
