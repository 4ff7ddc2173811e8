// Needs of a language model: against peft's own count, a measured layer, and times that were computed by hand.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainingReport } from '../../../../../contracts/src/training/job.ts';
import { countedIn } from '../../../../../trainer/control/plan/forms/form.ts';
import {
  featureWidth,
  type LanguageNeeds,
  languageForm,
  languageNeeds,
} from '../../../../../trainer/control/plan/forms/language-needs.ts';
import { textsToEmbed } from '../../../../../trainer/control/plan/forms/texts.ts';
import { type Tensor, tensorsBelow, tensorsIn, type Weights } from '../../../../../trainer/control/recipe/tensors.ts';
import { tinyRecipe, type WholeRecipe } from '../../../../support/tiny-recipe.ts';

/** Meta-Llama-3-8B as it is published. */
function llama8B(): Tensor[] {
  const layer = (number: number): Tensor[] =>
    Object.entries({
      'self_attn.q_proj': [4096, 4096],
      'self_attn.k_proj': [1024, 4096],
      'self_attn.v_proj': [1024, 4096],
      'self_attn.o_proj': [4096, 4096],
      'mlp.gate_proj': [14_336, 4096],
      'mlp.up_proj': [14_336, 4096],
      'mlp.down_proj': [4096, 14_336],
      input_layernorm: [4096],
      post_attention_layernorm: [4096],
    }).map(([name, shape]) => ({ name: `model.layers.${number}.${name}.weight`, shape }));
  return [
    { name: 'model.embed_tokens.weight', shape: [128_256, 4096] },
    ...Array.from({ length: 32 }, (_, number) => layer(number)).flat(),
    { name: 'model.norm.weight', shape: [4096] },
    { name: 'lm_head.weight', shape: [128_256, 4096] },
  ];
}

function needs(change: (recipe: WholeRecipe) => void): Map<string, LanguageNeeds> {
  const recipe = tinyRecipe();
  recipe.mntp.lora.rank = 16;
  recipe.contrastive.lora.rank = 16;
  change(recipe);
  return new Map(languageNeeds(recipe, llama8B).map((row) => [row.stage, row]));
}

const hoursOn = (row: LanguageNeeds | undefined, gpu: string): number | undefined =>
  row?.gpus.find((one) => one.gpu === gpu)?.hours;

describe('Llama 3 8B', () => {
  it('has the parameters, and with LoRA of rank 16 the trained numbers, that peft prints', () => {
    const mntp = needs(() => {}).get('mntp');
    expect(mntp?.parameters).toBe(8_030_261_248);
    expect(mntp?.trained).toBe(41_943_040);
  });

  it('keeps 193 KiB a layer for every token, which was measured, and little where it is computed again', () => {
    const bytes = (again: boolean): number => {
      const row = needs((recipe) => {
        Object.assign(recipe.contrastive, { batch_size: 64, micro_batch: 64, max_tokens: 64 });
        recipe.contrastive.saved_model = { dtype: 'bfloat16', shard_gigabytes: 5 };
        recipe.contrastive.parallel = { weights: 'replicated', activation_checkpointing: again, compile: false };
      }).get('contrastive');
      return (row?.gpu_bytes ?? 0) - 2 * 8_030_261_248 - 16 * 41_943_040;
    };
    expect(bytes(false) / 64 / 64 / 32 / 1024).toBeCloseTo(193, -1);
    // 64 captions of 64 tokens: 25 GB for that alone, or not 2.
    expect(bytes(false)).toBeGreaterThan(24e9);
    expect(bytes(true)).toBeLessThan(2e9);
  });

  it('takes the hours of a whole stage that were computed by hand', () => {
    const rows = needs((recipe) => {
      // 10,000 steps of 512 pairs of captions of 70 tokens: 83 h on one L40S. 10^8 of 4.2 10^8 tokens to embed: 16 h.
      Object.assign(recipe.contrastive, { batch_size: 512, micro_batch: 64, max_tokens: 70 });
      recipe.contrastive.schedule.steps = 10_000;
    });
    expect((hoursOn(rows.get('contrastive'), 'L40S') ?? 0) / 83).toBeCloseTo(0.9, 1);
    expect((4.2 * (hoursOn(rows.get('embed_captions'), 'L40S') ?? 0)) / 16).toBeCloseTo(0.9, 1);
  });

  it('is saved in float32 on no card of 24 GB, and does not load where a class has 14 GiB', () => {
    const rows = needs(() => {});
    expect(rows.get('mntp')?.gpus.map(({ gpu, fits }) => `${gpu} ${fits}`)).toEqual([
      'A10G false',
      'L4 false',
      'L40S true',
      'H100 true',
    ]);
    const half = needs((recipe) => {
      recipe.mntp.saved_model = { dtype: 'bfloat16', shard_gigabytes: 5 };
    });
    expect(half.get('mntp')?.gpus[0]?.fits).toBe(true);
    const embed = rows.get('embed_captions');
    expect(embed?.host_bytes).toBeGreaterThan(embed?.class_bytes ?? 0);
  });
});

it('once captions are counted, hours are for as many as there are, and as long as they are', () => {
  const recipe = tinyRecipe();
  Object.assign(recipe.contrastive, { batch_size: 512, micro_batch: 64, max_tokens: 64 });
  recipe.embed_captions.max_tokens = 64;
  const counted = {
    ...{
      images: 6000,
      captions: 30_000,
      characters: 55,
      groupCaptions: 0,
      long: 0,
      translations: 0,
      concepts: 0,
      fragments: 0,
    },
    ...{ texts: 30_000, regions: 0, classes: 0, devImages: 1000, devCaptions: 5000, unseenCaptions: 0 },
  };
  const form = (stage: 'contrastive' | 'embed_captions', known = {}) =>
    languageForm(stage, { recipe, tensorsOf: llama8B, facts: { ranks: 1, ...known } });
  expect(form('contrastive')?.unknown.join()).toContain('how long texts are');
  expect(form('contrastive', { counted })?.unknown).toEqual([]);
  // 55 characters are 12.5 tokens; nearly all of the work is in the matrices.
  const shorter = (form('contrastive', { counted })?.flop ?? 0) / (form('contrastive')?.flop ?? 1);
  expect(shorter / (12.5 / 64)).toBeCloseTo(1, 2);
  // What has to fit is still the longest text that is read.
  expect(form('contrastive', { counted })?.each).toBe(form('contrastive')?.each);
  const matrices = 2 * 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14_336 * 4096);
  expect((form('embed_captions', { counted })?.flop ?? 0) / (35_000 * 12.5 * matrices)).toBeCloseTo(1, 2);
});

it('of a finished prepare, hours are for prompts of classes, wrong texts, phrases and what is made of concepts, too', () => {
  const recipe = tinyRecipe();
  const config = recipe.embed_captions;
  config.limits = { groups: 40, long: 5, translations: 0, fragments: 100, concepts: 1000 };
  config.prompt_templates = ['a photo of a {}.', '{}'];
  const report = {
    metrics: { 'captions.train': 100, 'characters.train': 4400, 'captions.dev': 20, 'captions.unseen': 3 },
  };
  Object.assign(report.metrics, {
    'groups.train': 15,
    'captions.groups.train': 75,
    'captions.long.train': 9,
    'long.train': 9,
  });
  Object.assign(report.metrics, { 'translations.train': 30, 'fragments.train': 7, 'concepts.train': 11, classes: 10 });
  Object.assign(report.metrics, { 'regions.train': 50, 'regions.dev': 6 });
  const counted = countedIn(report as unknown as TrainingReport);
  const texts = () => (counted === undefined ? 0 : textsToEmbed(config, counted));
  // Captions; 40 of 75 captions of groups, 5 long, 7 fragments; of each of 11 concepts its name, a template, its gloss, a hypernym.
  const plain = 123 + 40 + 5 + 7 + 4 * 11;
  expect(texts()).toBe(plain + 2 * 10);
  config.limits.concepts = 30;
  expect(texts()).toBe(plain - 14 + 2 * 10);
  config.hard_negatives = 2;
  config.regions = { negatives: 10 };
  expect(texts()).toBe(plain - 14 + 2 * 10 + 200 + 11 * 56);
});

it('a model of a package has a form, and no table of GPUs before a run on this machine', () => {
  const recipe = tinyRecipe();
  recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  expect(languageNeeds(recipe, llama8B)).toEqual([]);
  expect(languageForm('mntp', { recipe, tensorsOf: llama8B, facts: { ranks: 1 } })?.flop).toBeGreaterThan(0);
});

it('features are as wide as those of all teachers together, once the tensors of each are known', () => {
  const recipe = tinyRecipe();
  recipe.embed_captions.teachers = [{ type: 'language_model' }, { type: 'sentence_encoder', package: 'minilm' }];
  const encoder = [{ name: 'embeddings.word_embeddings.weight', shape: [30_522, 384] }];
  const both = ({ name }: Weights): Tensor[] => (name === 'minilm' ? encoder : llama8B());
  expect(featureWidth(recipe, both)).toBe(4096 + 384);
  expect(featureWidth(recipe, ({ name }) => (name === 'minilm' ? [] : llama8B()))).toBeUndefined();
});

describe('tensors', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weights-'));

  /** Files [name, tensor of 2 x 3] as safetensors lays them out. */
  function write(into: string, files: readonly (readonly [string, string])[]): void {
    mkdirSync(into, { recursive: true });
    for (const [file, name] of files) {
      const header = Buffer.from(
        JSON.stringify({
          __metadata__: { format: 'pt' },
          [name]: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
        }),
      );
      writeFileSync(join(into, file), Buffer.concat([large(header.length), header, Buffer.alloc(24)]));
    }
  }

  it('are read from the headers of all files of a folder', () => {
    const model = join(folder, 'model');
    write(model, [
      ['model-00001-of-00002.safetensors', 'a'],
      ['model-00002-of-00002.safetensors', 'b'],
    ]);
    expect(tensorsIn(model)).toEqual([
      { name: 'a', shape: [2, 3] },
      { name: 'b', shape: [2, 3] },
    ]);
    expect(tensorsIn(join(folder, 'nowhere'))).toEqual([]);
  });

  it('of a GGUF file lie behind its metadata, columns first', () => {
    const file = join(folder, 'tiny.gguf');
    // More words than are read at a time.
    writeFileSync(file, gguf(Array.from({ length: 200_000 }, (_, number) => `word ${number}`)));
    const tensors = [
      { name: 'token_embd.weight', shape: [49_152, 576] },
      { name: 'blk.0.ffn_up.weight', shape: [1536, 576] },
      { name: 'output_norm.weight', shape: [576] },
    ];
    expect(tensorsIn(file)).toEqual(tensors);
    const recipe = tinyRecipe();
    recipe.embed_captions.teachers = [{ type: 'language_model' }];
    expect(featureWidth(recipe, () => tensorsIn(file))).toBe(576);
    writeFileSync(file, gguf([]).subarray(0, 60));
    expect(() => tensorsIn(file)).toThrow('ends within its header: copy it anew');
    writeFileSync(file, 'no weights at all');
    expect(() => tensorsIn(file)).toThrow('name a Hugging Face folder or a .gguf file');
  });

  it.each([
    ['a page', 'page.safetensors', Buffer.from('<!doctype html><html>not found</html>')],
    ['broken JSON', 'broken.safetensors', Buffer.concat([large(2), Buffer.from('{"')])],
    ['no object', 'null.safetensors', Buffer.concat([large(4), Buffer.from('null')])],
    ['tensors without end', 'many.gguf', Buffer.concat([Buffer.from('GGUF\x03\0\0\0'), large(2 ** 40), large(0)])],
    [
      'a text without end',
      'long.gguf',
      Buffer.concat([Buffer.from('GGUF\x03\0\0\0'), large(0), large(1), large(2 ** 50)]),
    ],
    ['a pointer of Git LFS', 'lfs.gguf', Buffer.from('version https://git-lfs.github.com/spec/v1\n')],
  ])('of %s are refused by the file’s name', (_, name, content) => {
    const damaged = join(folder, 'damaged', name);
    write(damaged, []);
    writeFileSync(join(damaged, name), content);
    expect(() => tensorsIn(damaged)).toThrow(
      new RegExp(`${name.replace('.', '\\.')} (ends within|is) .*(copy it anew|git lfs pull)`),
    );
  });

  it("of a package are those of the trainer's environment", () => {
    const packages = join(folder, '.venv', 'lib', 'python3.11', 'site-packages');
    mkdirSync(join(packages, 'llm_tiny'), { recursive: true });
    writeFileSync(join(packages, 'llm_tiny', 'tiny.gguf'), gguf(['a']));
    write(join(packages, 'encoder', 'model'), [['model.safetensors', 'x']]);
    const names = (name: string) => tensorsBelow(folder)({ in: 'package', name }).map((tensor) => tensor.name);
    expect(names('llm_tiny')).toHaveLength(3);
    expect(names('encoder')).toEqual(['x']);
    expect(names('absent')).toEqual([]);
    expect(tensorsBelow(folder)({ in: 'directory', name: 'model' })).toHaveLength(2);
  });
});

function large(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function small(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

const text = (value: string): Buffer => Buffer.concat([large(Buffer.byteLength(value)), Buffer.from(value)]);

/** As https://github.com/ggml-org/ggml/blob/master/docs/gguf.md lays it out: a text, a number, a flag and two lists, then three tensors. */
function gguf(words: readonly string[]): Buffer {
  const [number, flag, string, array, float] = [4, 7, 8, 9, 6].map(small) as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const tensor = (name: string, columnsFirst: readonly number[]): Buffer =>
    Buffer.concat([text(name), small(columnsFirst.length), ...columnsFirst.map(large), small(0), large(0)]);
  return Buffer.concat([
    Buffer.from('GGUF'),
    small(3),
    large(3),
    large(5),
    ...[text('general.architecture'), string, text('llama')],
    ...[text('llama.block_count'), number, small(1)],
    ...[text('tokenizer.ggml.add_bos_token'), flag, Buffer.from([1])],
    ...[text('tokenizer.ggml.tokens'), array, string, large(words.length), ...words.map(text)],
    ...[text('tokenizer.ggml.scores'), array, float, large(2), small(0), small(0)],
    tensor('token_embd.weight', [576, 49_152]),
    tensor('blk.0.ffn_up.weight', [576, 1536]),
    tensor('output_norm.weight', [576]),
  ]);
}
