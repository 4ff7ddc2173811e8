// Stage `embed_captions`: the language model embeds every text once; later stages read the vectors.
import { z } from 'zod';
import { count, countOrNone, Pooling } from './blocks.ts';

const limit = (kind: string) =>
  countOrNone.describe(`At most this many different ${kind} are embedded, the first ones; 0 leaves the kind out.`);

export const EmbedCaptionsConfig = z
  .strictObject({
    stage: z.literal('embed_captions').describe('Name of the stage.'),
    pooling: Pooling,
    max_tokens: count.describe('Tokens of a text that are read.'),
    batch_tokens: count.describe('Tokens per forward pass, padding included.'),
    shard_size: count.describe('Texts per shard of the output.'),
    limits: z
      .strictObject({
        groups: limit('captions without images'),
        long: limit('long descriptions'),
        translations: limit('translated captions'),
        fragments: limit('short phrases'),
      })
      .describe('How many texts of each kind are embedded.'),
    prompt_templates: z
      .array(z.string().includes('{}'))
      .describe('Templates that turn a class name into prompts; each contains {}.'),
  })
  .meta({ title: 'EmbedCaptionsConfig', description: 'Configuration of stage `embed_captions`.' });
