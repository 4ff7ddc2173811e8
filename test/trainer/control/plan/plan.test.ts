// The plan: order, content addresses that follow the graph exactly, cache hits, the comparison's runs.
import { describe, expect, it } from 'vitest';
import { byStage, inputsOf, preparedParts, type StageName } from '../../../../contracts/src/stages.ts';
import { TrainingJob, type TrainingReport } from '../../../../contracts/src/training/job.ts';
import { IMAGES, MEASURED_ON, PARTS, type Part } from '../../../../contracts/src/training/parts.ts';
import { createPlan, digestOf, type Plan, type PlanSources } from '../../../../trainer/control/plan/plan.ts';
import {
  TINY_STAGES,
  tinyAdapt,
  tinyComparison,
  tinyImitate,
  tinyRecipe,
  untunedTeacher,
  type WholeRecipe,
} from '../../../support/tiny-recipe.ts';

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

type Comparing = WholeRecipe & ReturnType<typeof tinyComparison>;

/** The plan of a recipe that compares itself with a control. */
function comparing(change: (recipe: Comparing) => void = () => {}): Plan {
  const recipe = { ...tinyRecipe(), ...tinyComparison() };
  change(recipe);
  return createPlan(recipe, sources);
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

/** Jobs that read a stage's output, directly or through others, and its own, as the table of stages says. */
function reachOf(stage: StageName): string[] {
  const readers = TINY_STAGES.filter((reader) => inputsOf(reader).includes(stage));
  return [...new Set([stage, ...readers.flatMap(reachOf)])];
}

describe('the order', () => {
  it('puts every input before its reader and the model before the comparison', () => {
    const { jobs } = comparing();
    const ids = jobs.map(({ job }) => job.id);
    expect(ids).toEqual([...TINY_STAGES, 'clip-control-1', 'clip-base-2', 'clip-control-2', 'compare']);
    const seen = new Set<string>();
    for (const { job, needs } of jobs) {
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
      vocabulary: ['embed_captions', 'prepare'],
      distill: ['clip', 'embed_captions', 'prepare', 'vocabulary'],
      evaluate: ['clip', 'distill', 'embed_captions', 'export', 'prepare'],
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
    ['vocabulary', ({ vocabulary }) => (vocabulary.alphabet = 50)],
    ['distill', ({ distill }) => (distill.mix.groups = 2)],
    ['export', (recipe) => (recipe.export.version = '2')],
    ['evaluate', ({ evaluate }) => (evaluate.dev_sets = [])],
  ])('follow the graph exactly when the settings of %s change', (stage, change) => {
    expect(changed(planOf(change))).toEqual(reachOf(stage).toSorted());
  });

  it('stay where a stage runs in another job class, which the plan of the job then names', () => {
    const plan = planOf((recipe) => {
      recipe.job_classes = { clip: 'train_8_h100', contrastive: 'train_2x8_h100' };
    });
    expect(changed(plan)).toEqual([]);
    expect(Object.fromEntries(plan.jobs.map(({ job, jobClass }) => [job.id, jobClass]))).toMatchObject({
      clip: 'train_8_h100',
      contrastive: 'train_2x8_h100',
      mntp: 'train',
      embed_captions: 'embed',
    });
  });

  it('stay where the data is stored elsewhere or the recipe says something else about itself', () => {
    expect(changed(planOf(undefined, { data: { ...sources.data, uri: 'file:///elsewhere' } }))).toEqual([]);
    expect(changed(planOf((recipe) => (recipe.description = 'other words')))).toEqual([]);
  });
});

describe('what a stage does not read of the prepared data leaves its address', () => {
  /** prepare, the stages whose rows name one of the parts or none, and what follows from them. */
  function readersOf(...parts: Part[]): string[] {
    const readers = planOf().jobs.flatMap(({ job: { inputs, config } }) => {
      const read = inputs.prepare === undefined ? [] : (preparedParts(config) ?? PARTS);
      return read.some((part) => parts.includes(part)) ? reachOf(config.stage) : [];
    });
    return [...new Set(['prepare', ...readers])].toSorted();
  }

  it('is known of each stage', () => {
    const few = ['clip', 'distill', 'evaluate', 'export', 'prepare'];
    expect(readersOf('plain.dev')).toEqual(['prepare']);
    expect(readersOf('translations.dev')).toEqual(expect.arrayContaining(['evaluate', 'export', 'prepare']));
    expect(readersOf('translations.dev')).not.toContain('clip');
    expect(readersOf('class_images')).toEqual(expect.arrayContaining([...few, 'embed_images']));
    expect(readersOf('class_images')).not.toContain('embed_captions');
    expect(readersOf('classes')).toEqual(expect.arrayContaining([...few, 'embed_captions', 'inherit']));
    for (const stage of ['mntp', 'contrastive', 'embed_images']) expect(readersOf('classes')).not.toContain(stage);
    expect(readersOf('pairs')).not.toContain('mntp');
    expect(readersOf('pairs')).toEqual(expect.arrayContaining(['contrastive', 'embed_captions']));
    for (const stage of ['contrastive', 'embed_captions']) expect(readersOf(...IMAGES)).not.toContain(stage);
  });

  it.each<[string, Part[], (prepare: WholeRecipe['prepare']) => void]>([
    ['class names', ['classes'], (prepare) => (prepare.classes = 'other.json')],
    ['how many phrases', ['fragments.train'], (prepare) => (prepare.fragments = 7)],
    ['class images', ['class_images'], (prepare) => (prepare.class_images = 'images.tar')],
    ['dev texts', ['groups.dev'], (prepare) => prepare.texts.push({ split: 'dev', kind: 'groups', path: 'g.jsonl' })],
    [
      'plain documents',
      ['plain.train'],
      (prepare) => prepare.texts.splice(0, 1, { split: 'train', kind: 'plain', path: 'other.jsonl' }),
    ],
    [
      'pictures',
      ['pairs', ...IMAGES],
      (prepare) => prepare.pairs.push({ split: 'train', format: 'folder', path: 'more' }),
    ],
    ['sizes of pictures', ['pairs', ...IMAGES], (prepare) => (prepare.max_side += 1)],
  ])('a change of %s runs those again that read %j', (_, parts, change) => {
    expect(changed(planOf(({ prepare }) => change(prepare)))).toEqual(readersOf(...parts));
  });

  it.each<Part>(['pairs', 'images.dev', 'classes', 'plain.dev'])(
    'edited files behind %s run those again that read them',
    (part) => {
      const data = { ...sources.data, digest: digestOf('edited'), parts: filesOf({ [part]: 'edited' }) };
      expect(changed(planOf(undefined, { data }))).toEqual(readersOf(part));
    },
  );

  it('is refused by the stage when it runs, because its job says what it may read', () => {
    const prepared = new Map(planOf().jobs.map(({ job }) => [job.id, job.prepared]));
    expect(prepared.get('mntp')).toEqual(['plain.train', 'groups.train']);
    expect(prepared.get('evaluate')).toEqual(['pairs', 'classes', 'class_images']);
    expect(prepared.get('export')).toEqual(['pairs', 'images.dev', 'translations.dev']);
    expect(prepared.get('inherit')).not.toContain('images.dev');
    const embedded = new Map(planOf().jobs.map(({ job }) => [job.id, job.embedded]));
    expect(embedded.get('evaluate')).toEqual(['captions.prompts', 'features.prompts']);
    expect(embedded.get('clip')).toContain('features.pairs.train');
    expect(embedded.get('clip')).not.toContain('captions.groups.train');
    expect(embedded.get('distill')).toContain('features.translations.train');
    expect(embedded.get('vocabulary')).toContain('captions.translations.train');
    expect(embedded.get('vocabulary')).not.toContain('features.translations.train');
    expect(embedded.get('export')).toBeUndefined();
  });
});

it('other weights in a folder of this machine are another address, whatever the folder is called', () => {
  const folders = new Map([['tiny', { digest: digestOf('weights'), file: null }]]);
  const before = addresses(planOf(undefined, { folders }));
  const after = addresses(
    planOf(undefined, { folders: new Map([['tiny', { digest: digestOf('trained on'), file: null }]]) }),
  );
  expect(Object.keys(before).filter((id) => before[id] !== after[id])).toEqual(
    expect.arrayContaining(['mntp', 'contrastive']),
  );
  expect(after.embed_images).toBe(before.embed_images);
});

it('figures are compared where dev is the same, whatever else is new', () => {
  const parts = (measured: string, pairs = 'pairs') => ({ ...filesOf({ pairs }), [MEASURED_ON]: digestOf(measured) });
  const measuredOn = (change: (recipe: WholeRecipe) => void, files = parts('dev')): string | undefined =>
    planOf(change, { data: { ...sources.data, digest: digestOf(files), parts: files } }).measuredOn;
  const same = measuredOn(() => {});
  expect(same).toMatch(/^sha256:/);
  // More pairs to train on, another recipe of training, another model.
  expect(measuredOn(() => {}, parts('dev', 'more pairs'))).toBe(same);
  expect(measuredOn((recipe) => recipe.prepare.pairs.push({ split: 'train', format: 'folder', path: 'more' }))).toBe(
    same,
  );
  expect(measuredOn((recipe) => Object.assign(recipe.clip, { batch_size: 4 }))).toBe(same);
  // Other images of dev, more of them, or another look at them.
  expect(measuredOn(() => {}, parts('other'))).not.toBe(same);
  expect(measuredOn((recipe) => recipe.prepare.pairs.push({ split: 'dev', format: 'folder', path: 'd' }))).not.toBe(
    same,
  );
  expect(measuredOn((recipe) => Object.assign(recipe.prepare, { max_side: 32 }))).not.toBe(same);
  expect(measuredOn((recipe) => Object.assign(recipe.evaluate, { dev_sets: ['stsb'] }))).not.toBe(same);
});

it('without a digest of what is measured on, new data of any kind are measured on otherwise', () => {
  const { [MEASURED_ON]: _, ...earlier } = filesOf({});
  const of = (digest: string) => planOf(undefined, { data: { ...sources.data, digest, parts: earlier } }).measuredOn;
  expect(of(digestOf('more'))).not.toBe(of(digestOf('data')));
});

it("the image tower's folder goes to every stage that builds the tower, under the path of the recipe", () => {
  const folders = new Map([
    ['/models/tower', { digest: digestOf('weights'), file: null, uri: 's3://training/data/tower' }],
  ]);
  for (const prefix of ['local-dir:', 'open_clip:local-dir:', 'open_clip:ViT-B-32@']) {
    const recipe = tinyRecipe();
    recipe.inherit.backbone = recipe.embed_images.backbone = { name: `${prefix}/models/tower`, size: 32 };
    const opening = (): string[] =>
      createPlan(recipe, { ...sources, folders }).jobs.flatMap(({ job }) =>
        job.weights?.some(({ path }) => path === '/models/tower') ? [job.id] : [],
      );
    expect(opening()).toEqual(['inherit', 'embed_images', 'clip', 'export', 'evaluate']);
    recipe.distill.image_weight = 0.1;
    expect(opening()).toContain('distill');
  }
  const named = tinyRecipe();
  named.inherit.backbone = named.embed_images.backbone = { name: 'open_clip:ViT-B-32@laion2b_s34b_b79k', size: 32 };
  expect(createPlan(named, { ...sources, folders }).jobs.flatMap(({ job }) => job.weights ?? [])).toEqual([]);
});

describe('a recipe without a block', () => {
  it('embeds with a model that is used as it is, whose folders of weights and adapters count', () => {
    const { mntp: _, contrastive: __, ...rest } = tinyRecipe();
    const recipe = { ...rest, embed_captions: { ...rest.embed_captions, teachers: [untunedTeacher()] } };
    const addressWith = (adapter: string): string | undefined => {
      const folders = new Map(
        Object.entries({ base: 'base', mntp: 'mntp', simcse: adapter }).map(([path, content]) => [
          path,
          { digest: digestOf(content), file: null },
        ]),
      );
      return addresses(createPlan(recipe, { ...sources, folders })).embed_captions;
    };
    const embedding = createPlan(recipe, sources).jobs.find(({ job }) => job.id === 'embed_captions');
    expect(Object.keys(embedding?.job.inputs ?? {})).toEqual(['prepare']);
    expect(addressWith('other')).not.toBe(addressWith('simcse'));
    expect(addressWith('simcse')).toBe(addressWith('simcse'));
  });

  it('runs the other stages, each with the address that it has anyway where it read nothing of the missing one', () => {
    const { evaluate: _, ...recipe } = tinyRecipe();
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

it('a recipe that imitates a checkpoint is one job, which runs again when the captions are others', () => {
  const { name, description, seed, data } = tinyRecipe();
  const imitating = (captions: string[]) => {
    const folders = new Map([['../clip', { digest: digestOf('checkpoint'), file: null }]]);
    return createPlan(
      { name, description, seed, data, imitate: { ...tinyImitate(), captions } },
      { ...sources, folders },
    );
  };
  const plan = imitating(['a.txt']);
  expect(plan.jobs.map(({ job }) => [job.id, Object.keys(job.inputs)])).toEqual([['imitate', ['data']]]);
  expect(addresses(imitating(['b.txt']))).not.toEqual(addresses(plan));
});

describe('a comparison', () => {
  const jobsById = (plan: Plan) => new Map(plan.jobs.map(({ job }) => [job.id, job]));

  it('runs the recipe and its variant with every seed, and uses the main run where it is the same', () => {
    const jobs = jobsById(comparing());
    const outputOf = (id: string) => jobs.get(id)?.output;
    expect(jobs.get('compare')?.inputs).toEqual({
      base_1: outputOf('clip'),
      control_1: outputOf('clip-control-1'),
      base_2: outputOf('clip-base-2'),
      control_2: outputOf('clip-control-2'),
    });
    expect(jobs.get('clip-base-2')).toMatchObject({ seed: 2, config: { text_tower: 'llm' } });
    expect(jobs.get('clip-control-2')).toMatchObject({ seed: 2, config: { text_tower: 'scratch' } });
  });

  it('computes what comes before the seeds once for all of them', () => {
    const { jobs } = comparing(({ compare }) => (compare.seeds = [1, 2, 3]));
    const ofStage = (stage: StageName) => jobs.filter(({ job }) => job.config.stage === stage);
    expect(ofStage('embed_images')).toHaveLength(1);
    expect(ofStage('inherit')).toHaveLength(1);
    expect(ofStage('clip')).toHaveLength(6);
    for (const { job } of ofStage('clip')) expect(job.inputs.embed_images).toBe(ofStage('embed_images')[0]?.job.output);
  });

  it('trains again from where a variant differs, and from where the seeds begin', () => {
    const plan = comparing((recipe) => {
      recipe.variants = { warm: { contrastive: { temperature: 0.5 } } };
      recipe.compare.variants = ['warm'];
      recipe.compare.seeded_from = 'inherit';
    });
    const ids = plan.jobs.map(({ job }) => job.id).filter((id) => id.endsWith('-2') || id.endsWith('-1'));
    expect(ids).toEqual([
      'contrastive-warm-1',
      'embed_captions-warm-1',
      'inherit-warm-1',
      'clip-warm-1',
      'inherit-base-2',
      'clip-base-2',
      'inherit-warm-2',
      'clip-warm-2',
    ]);
    const jobs = jobsById(plan);
    expect(jobs.get('embed_captions-warm-1')?.seed).toBe(1);
    expect(jobs.get('inherit-warm-2')?.inputs.embed_captions).toBe(jobs.get('embed_captions-warm-1')?.output);
  });

  it('adds no run for a variant that changes nothing that is measured', () => {
    const plan = comparing((recipe) => {
      recipe.variants = { elsewhere: { distill: null, export: null, evaluate: null } };
      recipe.compare.variants = ['elsewhere'];
    });
    const inputs = jobsById(plan).get('compare')?.inputs;
    expect(inputs).toMatchObject({ elsewhere_1: inputs?.base_1, elsewhere_2: inputs?.base_2 });
  });

  it('with a further seed runs again nothing but compare', () => {
    const before = new Set(comparing().jobs.map(({ contentAddress }) => contentAddress));
    const more = comparing(({ compare }) => (compare.seeds = [1, 2, 3])).jobs;
    expect(more.filter(({ contentAddress }) => !before.has(contentAddress)).map(({ job }) => job.id)).toEqual([
      'clip-base-3',
      'clip-control-3',
      'compare',
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
