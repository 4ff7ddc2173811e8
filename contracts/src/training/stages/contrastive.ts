// Stage `contrastive`: the language model learns that captions of one image belong together.
import { z } from 'zod';
import { count, Lora, Pooling, Schedule } from './blocks.ts';

export const ContrastiveConfig = z
  .strictObject({
    stage: z.literal('contrastive').describe('Name of the stage.'),
    lora: Lora,
    temperature: z.number().positive().describe('Cosines are divided by it before the softmax.'),
    batch_size: count.describe('Groups per step; every group gives two captions.'),
    micro_batch: count.describe('Captions that GradCache embeds at a time: bounds the memory, not the result.'),
    max_tokens: count.describe('Tokens of a caption that are read.'),
    pooling: Pooling,
    schedule: Schedule,
  })
  .meta({ title: 'ContrastiveConfig', description: 'Configuration of stage `contrastive`.' });
