// What jobs take of their class: against measured activations, docs/towers.md and bytes counted by hand; what cannot fit is refused.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { TrainingReport } from '../../../../contracts/src/training/job.ts';
import { type DataBytes, type Form, formOf, total } from '../../../../trainer/control/plan/forms.ts';
import { languageForm } from '../../../../trainer/control/plan/language-needs.ts';
import { createPlan, digestOf } from '../../../../trainer/control/plan/plan.ts';
import { type StageNeeds, stageNeeds } from '../../../../trainer/control/plan/stage-needs.ts';
import { TOWER_SHAPES, tokensOf, towerShape } from '../../../../trainer/control/plan/tower-shapes.ts';
import type { Tensor } from '../../../../trainer/control/recipe/tensors.ts';
import { tinyRecipe, type WholeRecipe } from '../../../support/tiny-recipe.ts';

const MIB = 2 ** 20;
const L14 = 'open_clip:ViT-L-14-quickgelu@openai';
const ROOT = join(import.meta.dirname, '..', '..', '..', '..');

/** A recipe that trains a whole ViT-L/14 with batches of 4,096, as LLM2CLIP does. */
function large(change: (recipe: WholeRecipe) => void = () => {}): WholeRecipe {
  const recipe = tinyRecipe();
  const backbone = { name: L14, size: 224 };
  recipe.inherit.backbone = backbone;
  recipe.inherit.target = 'clip_text';
  recipe.embed_images = { ...recipe.embed_images, backbone, first_trainable_block: 0 };
  recipe.clip = { ...recipe.clip, text_tower: 'llm', batch_size: 4096 };
  recipe.clip.schedule.steps = 3000;
  change(recipe);
  return recipe;
}

interface Known {
  features?: number;
  data?: DataBytes;
  /** Train pictures that a finished `prepare` has counted. */
  images?: number;
  form?: Form;
}

function needs(recipe: WholeRecipe, { features, data, images, form }: Known = {}): Map<string, StageNeeds> {
  const plan = createPlan(recipe, {
    code: byStage(digestOf),
    data: { uri: 's3://bucket/data', digest: digestOf('data'), parts: {} },
    runs: 's3://bucket/runs',
    finished: new Map(),
  });
  const jobs = plan.jobs.map((planned) =>
    planned.job.id === 'prepare' && images !== undefined ? { ...planned, report: counted(images) } : planned,
  );
  const ofLanguage = (stage: string) => (stage === 'mntp' ? form : undefined);
  const rows = stageNeeds({ recipe, jobs, features, data, languageForm: ofLanguage });
  return new Map(rows.map((row) => [row.stage, row]));
}

const counted = (images: number): TrainingReport => ({
  schema_version: 1,
  id: 'prepare',
  stage: 'prepare',
  status: 'succeeded',
  started_at: '2026-11-27T00:00:00.000Z',
  seconds: 1,
  device: 'cpu',
  metrics: { 'images.train': images },
  artefacts: {},
  notes: [],
});

describe('image towers', () => {
  it('are those of docs/towers.md, figure by figure', () => {
    const table = readFileSync(join(ROOT, 'docs', 'towers.md'), 'utf8');
    const rows = new Map(
      table.split('\n').flatMap((line) => {
        const cells = line.split('|').map((cell) => cell.trim());
        const [, , name = '', parameters = '', blocks, features, , size, patch] = cells;
        return name.startsWith('`')
          ? [
              [
                name.slice(1, -1),
                [Number(parameters.replace(/[ M,]/g, '')), ...[blocks, features, size, patch].map(Number)],
              ],
            ]
          : [];
      }) as [string, number[]][],
    );
    for (const { backbone, parameters, blocks, width, size, patch } of TOWER_SHAPES)
      expect([backbone, rows.get(backbone)]).toEqual([backbone, [parameters, blocks, width, size, patch]]);
  });

  it.each([
    ['open_clip:ViT-B-16-quickgelu@openai', 74],
    [L14, 256],
    ['open_clip:ViT-L-14-336-quickgelu@openai', 574],
    ['open_clip:ViT-SO400M-14-SigLIP@webli', 315],
    ['open_clip:EVA02-L-14-336@merged2b_s6b_b61k', 1068],
    ['vit_intern300m_patch14_448.ogvl_dist', 1205],
  ])('%s keeps the %i MiB an image that were measured', (backbone, mebibytes) => {
    const shape = towerShape(backbone);
    if (shape === undefined) throw new Error(backbone);
    const recipe = large((whole) => {
      whole.embed_images.backbone = { name: backbone, size: shape.size };
      Object.assign(whole.clip, { text_tower: 'llm' });
    });
    const form = formOf(recipe, 'clip', { ranks: 1 });
    expect(typeof form === 'object' ? form.each / MIB / mebibytes : 0).toBeCloseTo(1, 1);
    expect(tokensOf(shape, shape.size)).toBeGreaterThan(100);
  });
});

describe('clip', () => {
  it('is refused where its batch does not fit, with the micro-batch that would and the class that would', () => {
    const clip = needs(large()).get('clip');
    // 303.2 M weights with gradient, two averages and the mean of the weights: 20 bytes each.
    expect(clip?.problems).toHaveLength(1);
    const [, fixed = '', fits = ''] =
      /of which ([\d.]+) GB whatever the batch.*clip\.micro_batch (\d+) would fit/.exec(clip?.problems[0] ?? '') ?? [];
    expect(Number(fixed)).toBeCloseTo(0.3032 * 20, 0);
    // What is left of 22.5 GB in pieces of 256 MiB.
    expect(Math.abs(Number(fits) - (22.5e9 - 6.064e9) / (256 * MIB))).toBeLessThan(2);
    const smaller = large((recipe) => {
      recipe.clip.micro_batch = Number(fits);
    });
    expect(needs(smaller).get('clip')?.problems).toEqual([]);
    smaller.clip.micro_batch = Number(fits) + 1;
    expect(needs(smaller).get('clip')?.problems).toHaveLength(1);
  });

  it("counts the weights of the tower's running mean once more, and its forward pass", () => {
    const held = (regulariser_weight: number, regulariser_ema?: number) => {
      const recipe = large(({ clip }) => {
        Object.assign(clip, { regulariser_weight }, regulariser_ema === undefined ? {} : { regulariser_ema });
      });
      const form = formOf(recipe, 'clip', { ranks: 1, features: 4096 });
      if (typeof form !== 'object') throw new Error(form);
      return form;
    };
    const [frozen, taught] = [held(1), held(1, 0.999)];
    expect(taught.fixed - frozen.fixed).toBeCloseTo(4 * 303.2e6);
    // A forward pass of L/14 (81 GFLOP as published, two operations each) for every picture of every step.
    expect((taught.flop - frozen.flop) / (3000 * 4096 * 2 * 81e9)).toBeCloseTo(1, 1);
    expect(held(0, 0.999)).toMatchObject({ fixed: frozen.fixed, flop: frozen.flop });
  });

  it('fits where its activations are computed again or the batch is shared, and takes that many fewer hours', () => {
    const on = (name: 'train_h100' | 'train_8_h100') =>
      needs(
        large((recipe) => {
          recipe.job_classes = { clip: name };
          recipe.clip.batch_size = 1024;
        }),
      ).get('clip');
    const [one, eight] = [on('train_h100'), on('train_8_h100')];
    expect(one?.problems).toHaveLength(1);
    expect(one?.problems[0]).toContain('job_classes.clip "train_8_l40s" has it');
    expect(eight?.problems).toEqual([]);
    expect((one?.hours ?? 0) / (eight?.hours ?? 1)).toBeCloseTo(8);
    // 3,000 x 1,024 pictures of 81 GFLOP forward (the published figure of L/14), three times, at 400 TFLOP/s: 2 h less a little.
    const byHand = (3 * 3000 * 1024 * 2 * 81e9) / 400e12 / 3600;
    expect((one?.hours ?? 0) / byHand).toBeCloseTo(1, 1);
    expect(eight?.usd).toBeCloseTo((eight?.hours ?? 0) * 55.04);
    const again = large((recipe) => {
      recipe.clip.batch_size = 256;
      recipe.clip.parallel = { weights: 'replicated', activation_checkpointing: true, compile: false };
    });
    expect(needs(again).get('clip')?.problems).toEqual([]);
  });

  it('holds the weights of an EVA-sized tower in parts where they are sharded', () => {
    const form = (weights: 'replicated' | 'sharded') => {
      const found = formOf(
        large((recipe) => {
          recipe.clip.parallel = { weights, activation_checkpointing: false, compile: false };
        }),
        'clip',
        { ranks: 8 },
      );
      if (typeof found !== 'object') throw new Error(found);
      return found.fixed;
    };
    // An eighth, and two blocks of 24 that are whole.
    expect(form('sharded')).toBeCloseTo(form('replicated') / 8 + (2 * 4 * 303.2e6) / 24, -6);
  });

  it('counts the adapter once the width of the features is known: 273 M numbers at 4,096, four blocks', () => {
    const recipe = large((whole) => {
      whole.clip.adapter = { blocks: 2, expansion: 4 };
      whole.clip.embed_dim = 768;
    });
    const [known, unknown] = [
      formOf(recipe, 'clip', { ranks: 1, features: 4096 }),
      formOf(recipe, 'clip', { ranks: 1 }),
    ];
    if (typeof known !== 'object' || typeof unknown !== 'object') throw new Error('no form');
    expect((known.fixed - unknown.fixed) / 20).toBe(2 * 2 * 4 * 4096 ** 2 + 4096 * 768);
    expect(unknown.unknown[0]).toContain('the adapter');
  });

  it('says so where nobody measured the tower, and refuses nothing', () => {
    const recipe = large((whole) => {
      whole.embed_images.backbone = { name: 'package:tiny', size: 32 };
    });
    const clip = needs(recipe).get('clip');
    expect(clip).toMatchObject({ gpu_bytes: null, hours: null, problems: [] });
    expect(clip?.unknown[0]).toContain('package:tiny');
  });
});

describe('a language model', () => {
  /** 8 billion numbers in 32 layers. */
  const tensors: Tensor[] = [
    { name: 'model.embed_tokens.weight', shape: [128_256, 4096] },
    ...Array.from({ length: 32 }, (_, number) => ({
      name: `model.layers.${number}.mlp.weight`,
      shape: [4096, 53_248],
    })),
  ];
  const form = (ranks: number, weights: 'replicated' | 'sharded' = 'replicated') => {
    const recipe = tinyRecipe();
    recipe.mntp.language_model = { source: 'directory', name: 'llm' };
    recipe.contrastive.saved_model = { dtype: 'bfloat16', shard_gigabytes: 5 };
    Object.assign(recipe.contrastive, { batch_size: 512, micro_batch: 2000 });
    recipe.contrastive.parallel = { weights, activation_checkpointing: true, compile: false };
    const found = languageForm('contrastive', { recipe, tensorsOf: () => tensors, ranks });
    if (found === undefined) throw new Error('no form');
    return found;
  };

  it('shares its captions between the ranks, and its weights where they are sharded', () => {
    expect(form(1).atOnce).toBe(1024);
    expect(form(8).atOnce).toBe(128);
    expect(total(form(8, 'sharded'), 0)).toBeLessThan(total(form(8), 0) / 5);
    // Every process reads the weights into memory, of 2 bytes a number.
    const parameters = 128_256 * 4096 + 32 * 4096 * 53_248;
    expect(form(8).host).toBe(8 * 2 * parameters);
    expect(form(8).flop).toBe(form(1).flop);
  });
});

describe('disk and memory', () => {
  /** Pixels of a view and its features, twice while the parts are put together, in 2 bytes each. */
  const view = 2 * (3 * 224 ** 2 + 1024) * 2;
  const data = { all: 10e9, tars: 0, children: 1 };

  it('of stored crops are refused with the number of crops that would fit', () => {
    const images = 50_000;
    const crops = (number: number) =>
      needs(
        large((recipe) => {
          recipe.embed_images.crops = number;
        }),
        { images, data },
      ).get('embed_images');
    const refused = crops(9);
    expect(refused?.disk_bytes).toBe(10e9 + images * 10 * view);
    expect(refused?.problems).toHaveLength(1);
    const [, fits = ''] = /embed_images\.crops (\d+) would fit/.exec(refused?.problems[0] ?? '') ?? [];
    // 190 GB less the pictures, less a view of each whole picture.
    expect(Number(fits)).toBe(Math.floor(180e9 / (images * view)) - 1);
    expect(crops(Number(fits))?.problems).toEqual([]);
    expect(crops(Number(fits) + 1)?.problems).toHaveLength(1);
  });

  it('where not even one crop of each picture fits, streaming is what would, and it does', () => {
    const of = (kept: 'cached' | 'streamed') =>
      needs(
        large((recipe) => {
          recipe.embed_images.images = kept;
        }),
        { images: 1_000_000, data },
      )
        .get('embed_images')
        ?.problems.join();
    expect(of('cached')).toContain('embed_images.images "streamed" stores nothing of a picture');
    expect(of('streamed')).toBe('');
  });

  it('of prepare are the pictures twice, unless containers share them', () => {
    const of = (all: number, tars: number, children: number) =>
      needs(tinyRecipe(), { data: { all, tars, children } }).get('prepare');
    expect(of(49e9, 0, 1)).toMatchObject({ disk_bytes: 98e9, problems: [], hours: null });
    expect(of(60e9, 0, 1)?.problems[0]).toContain('packed into tars, pictures are shared between containers');
    const few = of(300e9, 300e9, 2)?.problems[0] ?? '';
    const [, enough = ''] = /job_arrays\.prepare (\d+) would fit/.exec(few) ?? [];
    expect(Number(enough)).toBe(3);
    expect(of(300e9, 300e9, 3)).toMatchObject({ disk_bytes: 100e9, problems: [] });
  });

  it('that no class has are refused with what the largest has', () => {
    const form = { fixed: 0, each: 0, atOnce: 0, setting: '', flop: 0, unknown: [] };
    const of = (host: number) => needs(tinyRecipe(), { form: { ...form, host } }).get('mntp')?.problems;
    expect(of(28_672 * MIB)).toEqual([]);
    expect(of(28_672 * MIB + 1)).toEqual([
      'mntp takes 30.1 GB of memory, a machine of class train gives it 30.1 GB: job_classes.mntp "train_l40s" has it',
    ]);
    expect(of(3e12)?.[0]).toContain('no job class has that, the largest has 1924.1 GB');
  });
});

it('the student of distill is bounded by its tokens', () => {
  const recipe = large((whole) => {
    whole.distill.batch_tokens = 4_000_000;
    whole.distill.tiers = whole.distill.tiers.map((tier) => ({ ...tier, layers: 12, width: 384, heads: 6 }));
  });
  const [problem = ''] = needs(recipe).get('distill')?.problems ?? [];
  const [, fits = ''] = /distill\.batch_tokens (\d+) would fit/.exec(problem) ?? [];
  recipe.distill.batch_tokens = Number(fits);
  expect(needs(recipe).get('distill')?.problems).toEqual([]);
});
