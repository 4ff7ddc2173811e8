// The plan: order, content addresses that follow the graph exactly, cache hits, the comparison's runs.
import { describe, expect, it } from 'vitest';
import { byStage, inputsOf, type StageName } from '../../../../contracts/src/stages.ts';
import { TrainingJob, type TrainingReport } from '../../../../contracts/src/training/job.ts';
import { PARTS, type Part } from '../../../../contracts/src/training/prepared.ts';
import { createPlan, digestOf, type Plan, type PlanSources } from '../../../../trainer/control/plan/plan.ts';
import { TINY_STAGES, tinyAdapt, tinyRecipe, type WholeRecipe } from '../../../support/tiny-recipe.ts';

const code = byStage(digestOf);
/** By part of what prepare makes, a digest of the files behind it; some of them edited. */
function filesOf(edited: Partial<Record<Part, string>>): Record<string, string> {
  return Object.fromEntries(PARTS.map((part) => [part, digestOf(edited[part] ?? part)]));
}

const sources: PlanSources = {
  code,
  data: { uri: 's3://bucket/data', digest: digestOf('data'), parts: filesOf({}) },
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
  const readers = TINY_STAGES.filter((reader) => inputsOf(reader).includes(stage));
  return [...new Set([...jobsOf(stage), ...readers.flatMap(reachOf)])];
}

describe('the order', () => {
  it('puts every input before its reader and the model before the comparison', () => {
    const ids = planOf().jobs.map(({ job }) => job.id);
    const comparison = ['clip-scratch-1', 'clip-llm-2', 'clip-scratch-2'];
    const stages = ids.filter((id) => !comparison.includes(id));
    expect(stages).toEqual(TINY_STAGES);
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

  it.each(TINY_STAGES)('follow the graph exactly when the code of %s changes', (stage) => {
    const plan = planOf(undefined, { code: { ...code, [stage]: digestOf('edited') } });
    expect(changed(plan)).toEqual(reachOf(stage).toSorted());
  });

  it.each<[StageName, (recipe: WholeRecipe) => void]>([
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

  it('stay where the data is stored elsewhere or the recipe says something else about itself', () => {
    expect(changed(planOf(undefined, { data: { ...sources.data, uri: 'file:///elsewhere' } }))).toEqual([]);
    expect(changed(planOf((recipe) => (recipe.description = 'other words')))).toEqual([]);
  });
});

describe('what a stage does not read of the prepared data leaves its address', () => {
  /** Everything that reads captions, and what follows from it. */
  const ALL = reachOf('prepare');
  const ofTexts = ALL.filter((id) => !['mntp', 'contrastive', 'embed_images'].includes(id)).toSorted();
  const ofPairs = ALL.filter((id) => id !== 'mntp').toSorted();
  const ofImages = ALL.filter((id) => !['mntp', 'contrastive', 'embed_captions', 'inherit'].includes(id)).toSorted();
  /** export and evaluate read everything. */
  const last = ['evaluate', 'export', 'prepare'];

  it.each<[string, string[], (prepare: WholeRecipe['prepare']) => void]>([
    ['class names', ofTexts, (prepare) => (prepare.classes = 'classes.json')],
    ['how many phrases', ofTexts, (prepare) => (prepare.fragments = 7)],
    ['class images', ofImages, (prepare) => (prepare.class_images = 'images.tar')],
    ['dev texts', last, (prepare) => prepare.texts.push({ split: 'dev', kind: 'groups', path: 'groups.jsonl' })],
    [
      'plain documents',
      ALL.filter((id) => id !== 'embed_images').toSorted(),
      (prepare) => prepare.texts.splice(0, 1, { split: 'train', kind: 'plain', path: 'other.jsonl' }),
    ],
    ['pictures', ofPairs, (prepare) => prepare.pairs.push({ split: 'train', format: 'folder', path: 'more' })],
    ['sizes of pictures', ofPairs, (prepare) => (prepare.max_side += 1)],
  ])('a change of %s runs %j again', (_, again, change) => {
    expect(changed(planOf(({ prepare }) => change(prepare)))).toEqual(again);
  });

  it.each<[Part, string[]]>([
    ['pairs', ofPairs],
    ['classes', ofTexts],
    ['plain.dev', last],
  ])('edited files behind %s run %j again', (part, again) => {
    const data = { ...sources.data, digest: digestOf('edited'), parts: filesOf({ [part]: 'edited' }) };
    expect(changed(planOf(undefined, { data }))).toEqual(again);
  });

  it('is refused by the stage when it runs, because its job says what it may read', () => {
    const prepared = new Map(planOf().jobs.map(({ job }) => [job.id, job.prepared]));
    expect(prepared.get('mntp')).toEqual(['plain.train', 'groups.train']);
    expect(prepared.get('evaluate')).toBeUndefined();
  });
});

it('other weights in a folder of this machine are another address, whatever the folder is called', () => {
  const folders = new Map([['tiny', digestOf('weights')]]);
  const before = addresses(planOf(undefined, { folders }));
  const after = addresses(planOf(undefined, { folders: new Map([['tiny', digestOf('trained on')]]) }));
  expect(Object.keys(before).filter((id) => before[id] !== after[id])).toEqual(
    expect.arrayContaining(['mntp', 'contrastive']),
  );
  expect(after.embed_images).toBe(before.embed_images);
});

describe('a recipe without a block', () => {
  it('runs the other stages, each with the address that it has anyway where it read nothing of the missing one', () => {
    const { evaluate: _, comparison: __, ...recipe } = tinyRecipe();
    const plan = createPlan(recipe, sources);
    const ids = plan.jobs.map(({ job }) => job.id);
    expect(ids).toEqual(TINY_STAGES.filter((stage) => stage !== 'evaluate'));
    expect(addresses(planOf())).toMatchObject(addresses(plan));
  });
});

describe('a recipe that adapts a model', () => {
  const adapting = (change: (adapt: ReturnType<typeof tinyAdapt>) => void = () => {}) => {
    const { name, description, seed, data } = tinyRecipe();
    const adapt = tinyAdapt();
    change(adapt);
    return createPlan({ name, description, seed, data, adapt }, sources);
  };

  it('is one job that reads the data alone, and runs again when its settings change', () => {
    const plan = adapting();
    expect(plan.jobs.map(({ job }) => [job.id, Object.keys(job.inputs)])).toEqual([['adapt', ['data']]]);
    expect(addresses(adapting((adapt) => (adapt.space = 'new')))).not.toEqual(addresses(plan));
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
    expect(planOf((recipe) => (recipe.comparison.seeds = [])).jobs).toHaveLength(TINY_STAGES.length);
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
