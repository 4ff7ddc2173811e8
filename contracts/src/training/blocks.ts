// Blocks and number ranges that several stages' configurations share.
import * as z from 'zod';

export const count = z.int().positive();
export const countOrNone = z.int().nonnegative();
export const fraction = z.number().min(0).max(1);
export const weight = z.number().nonnegative();

export const packing = z
  .boolean()
  .describe(
    'True: texts share rows side by side instead of being padded to the longest; the vectors are the same up to ' +
      'rounding. Encoders are padded always. Absent: false.',
  );

export const Schedule = z
  .strictObject({
    steps: count.describe('Optimiser steps in all.'),
    warmup_steps: countOrNone.describe(
      'Steps over which the learning rate rises linearly from 0 to `lr`; part of `steps`.',
    ),
    lr: weight.describe('Peak learning rate.'),
    weight_decay: weight.describe('Decoupled weight decay, per step and multiplied by the learning rate.'),
    grad_clip: z.number().positive().describe('Largest norm of the whole gradient; a longer one is scaled down to it.'),
    decay: z.enum(['cosine', 'linear']).describe('Shape of the way from `lr` down to 0 after the warm-up.'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .optional()
      .describe("Decay of AdamW's running means of the gradient and of its square. Absent: 0.9 and 0.98."),
    epsilon: z
      .number()
      .positive()
      .optional()
      .describe('Added to the root of the mean square that a step is divided by. Absent: 1e-6.'),
    fused: z
      .boolean()
      .optional()
      .describe(
        'Whether AdamW goes once over the weights in a step, as it always does on a GPU, instead of ten times. On a CPU a ' +
          'step is shorter, and last bits of the weights differ. Absent: on a CPU it does not.',
      ),
  })
  .meta({ title: 'Schedule', description: 'AdamW with linear warm-up and a decay to zero.' });
export type Schedule = z.infer<typeof Schedule>;

export const Lora = z
  .strictObject({
    rank: count.describe('Rank of the two factors.'),
    alpha: count.describe('The update is scaled by alpha / rank.'),
    dropout: fraction.describe('Probability that an input of the first factor is set to zero while training.'),
  })
  .meta({ title: 'Lora', description: 'Low-rank update of the attention and MLP matrices of the language model.' });

export const Parallel = z
  .strictObject({
    weights: z
      .enum(['replicated', 'sharded'])
      .describe('Whether every process holds all weights, or its part of every block and gathers a block in its turn.'),
    activation_checkpointing: z
      .boolean()
      .describe('Whether what a block computes inside is computed again on the way back instead of kept.'),
    compile: z.boolean().describe('Whether blocks are compiled, which takes minutes once and pays on a GPU.'),
  })
  .meta({
    title: 'Parallel',
    description: 'How the blocks of a large model lie in memory, on one process or several.',
  });

export const LanguageModel = z
  .strictObject({
    source: z
      .enum(['gguf_package', 'directory'])
      .describe(
        '`gguf_package`: a Python package that carries a GGUF file. `directory`: a Hugging Face folder or a `.gguf` file.',
      ),
    name: z.string().describe('Import name of the package, or path of the folder or file.'),
    adapters: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        "Folders of LoRA adapters in PEFT's layout, merged into the model one after the other before anything else: " +
          'an LLM2Vec model is a base and two of them.',
      ),
    add_bos: z
      .boolean()
      .optional()
      .describe(
        "True: the tokenizer's first token comes before every text and is not pooled. Llama 3 and Gemma were trained to " +
          'find it there. Absent: false.',
      ),
    template: z
      .string()
      .regex(/^[^{}]*\{\}[^{}]*$/, 'a text stands where {} is, which has to be there once and without other braces')
      .optional()
      .describe(
        'What a text is wrapped in; the text stands where {} is. A decoder reads what precedes it without pooling it. ' +
          'Not used by `mntp`, which goes on with pretraining. Absent: the text alone.',
      ),
  })
  .meta({
    title: 'LanguageModel',
    description:
      'The language model that becomes the text teacher: a causal one, or an encoder (BERT, ModernBERT, XLM-R).',
  });

export const SavedModel = z
  .strictObject({
    dtype: z.enum(['float32', 'bfloat16']).describe('Number type of the written weights; sums are made in float32.'),
    shard_gigabytes: z
      .number()
      .positive()
      .describe('Largest file of weights, in 10^9 bytes; more of them become several files with an index.'),
  })
  .meta({ title: 'SavedModel', description: 'How a tuned language model is written.' });

export const Backbone = z
  .strictObject({
    name: z
      .string()
      .describe(
        'A pretrained image tower: `package:NAME` for one that a Python package carries, `open_clip:MODEL@PRETRAINED` or ' +
          '`open_clip:local-dir:FOLDER` for that of a two-tower checkpoint, `local-dir:FOLDER` for a folder in the layout of timm, ' +
          'else a timm name.',
      ),
    size: count.describe(
      'Side of the square input, in pixels; another one than that of its training where position embeddings can be resized.',
    ),
  })
  .meta({ title: 'Backbone', description: 'The image tower to start from.' });

export const Adapter = z
  .strictObject({
    blocks: countOrNone.describe('Residual MLP blocks: LayerNorm, Linear d -> expansion * d, GELU, Linear back.'),
    expansion: count.describe('Width of a block inside, as a multiple of its width outside.'),
    input_length: z
      .enum(['one', 'root_width'])
      .optional()
      .describe(
        'Length of the features before the first block. `one`: as LLM2CLIP trains, and its published adapters need. ' +
          '`root_width`: the root of d, so that their numbers are as large as those that a block adds. Absent: root_width.',
      ),
    own_text_share: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe(
        "Share of the checkpoint's own text vector in the mean of it and the adapter's, 0.5 for their average; needs " +
          '`clip_text` as the last one of `embed_captions.teachers`, and as `inherit.target`. Absent: that vector is read like ' +
          "the other teachers'.",
      ),
  })
  .meta({
    title: 'Adapter',
    description:
      'From features of the language model to the joint space: residual blocks, LayerNorm, Linear d -> embed_dim.',
  });

export const Pooling = z.enum(['mean', 'weighted_mean', 'first_token', 'last_token']).meta({
  title: 'Pooling',
  description:
    'How the states of a text become one vector: their mean, their mean with the n-th of them n times, the first of ' +
    "the row (an encoder's [CLS]), or the last one.",
});
