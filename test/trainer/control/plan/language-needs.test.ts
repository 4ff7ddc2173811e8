// What a language model needs: against peft's own count, a measured layer, and times that were computed by hand.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type LanguageNeeds, languageNeeds } from '../../../../trainer/control/plan/language-needs.ts';
import { type Tensor, tensorsIn } from '../../../../trainer/control/recipe/tensors.ts';
import { tinyRecipe, type WholeRecipe } from '../../../support/tiny-recipe.ts';

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

it('nothing is said of a model that is no folder', () => {
  const recipe = tinyRecipe();
  recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  expect(languageNeeds(recipe, llama8B)).toEqual([]);
});

it('tensors are read from the headers of all files of a folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weights-'));
  for (const [file, name] of [
    ['model-00001-of-00002.safetensors', 'a'],
    ['model-00002-of-00002.safetensors', 'b'],
  ] as const) {
    const header = Buffer.from(
      JSON.stringify({
        __metadata__: { format: 'pt' },
        [name]: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
      }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(join(folder, file), Buffer.concat([length, header, Buffer.alloc(24)]));
  }
  expect(tensorsIn(folder)).toEqual([
    { name: 'a', shape: [2, 3] },
    { name: 'b', shape: [2, 3] },
  ]);
  expect(tensorsIn(join(folder, 'nowhere'))).toEqual([]);
});
