// Stage `distill`: a token table and small text encoders learn the vectors of the language model.
import * as z from 'zod';
import { count, fraction, Schedule, weight } from '../blocks.ts';

const mixed = (kind: string) => weight.describe(`Weight of ${kind}.`);

export const StudentTier = z
  .strictObject({
    tier: z.enum(['student', 'tiny']).describe('Which tier of the model it becomes. There is a `student`.'),
    layers: count.describe('Transformer blocks.'),
    width: count.describe('Width of the token states; a multiple of `heads`.'),
    heads: count.describe('Attention heads per block.'),
    table_width: count.describe("Values of a token's row; where `width` is another number, a matrix is between them."),
    initial_weights: z
      .string()
      .describe(
        'Where the transformer starts: `scratch`; `student`, the tier that was trained before; or a package with a ' +
          'BERT-shaped sentence encoder. Both have its width and heads; of more layers, evenly spaced ones are taken.',
      ),
    static_weight: weight.describe(
      "The static tier's vector, times this, is added to the transformer's, in training and when serving; 0: it is not.",
    ),
    schedule: Schedule,
  })
  .meta({ title: 'StudentTier', description: 'A transformer that `distill` trains.' });
export type StudentTier = z.infer<typeof StudentTier>;

export const DistillConfig = z
  .strictObject({
    stage: z.literal('distill').describe('Name of the stage.'),
    context_length: count.describe('Tokens of a text that are read, special tokens included.'),
    matryoshka_dims: z
      .array(count)
      .min(1)
      .describe('Lengths at which a cut vector must work too; the largest is the whole vector.'),
    contrastive_weight: weight.describe('Weight of the contrastive loss beside the regression onto the teacher.'),
    temperature: z
      .number()
      .positive()
      .describe('Cosines are divided by it before the softmax of the contrastive losses.'),
    image_weight: weight.describe(
      "Weight of the contrastive loss of captions against their images' own vectors; 0: the images are not embedded.",
    ),
    negatives_weight: weight.describe(
      'Weight of telling a caption from the same with two words exchanged or something negated, in the transformers.',
    ),
    contradiction_margin: weight
      .optional()
      .describe('A contradiction costs nothing once its cosine to the target is lower by this. Absent: 0.1.'),
    quantised_fraction: fraction
      .optional()
      .describe(
        'Fraction of the steps of a transformer, the last ones, with weights rounded as they are served. Absent: 0.2.',
      ),
    projection_texts: count
      .optional()
      .describe(
        'Texts that the projection of a transformer is fitted to by ridge regression before it is trained. Absent: 4,096.',
      ),
    pool_batches: count
      .optional()
      .describe(
        'Batches whose texts are drawn at once and sorted by length, so that little of a batch is padding. Absent: 32.',
      ),
    mix: z
      .strictObject({
        captions: mixed('captions of images'),
        captions_tr: mixed('captions of images in other languages; their target is the mean of the English ones'),
        groups: mixed('captions without images'),
        long: mixed('long descriptions'),
        translations: mixed('translated captions'),
        fragments: mixed('short phrases'),
        prompts: mixed('prompts made from class names'),
        concepts: mixed('names, glosses and descriptions of concepts'),
        names: mixed('names of concepts in other languages, alone and in short sentences'),
      })
      .describe(
        'How often each kind of text is drawn, relative to the others; kinds that the data lacks are left out.',
      ),
    noise: z
      .strictObject({
        typing_errors: fraction.describe('Fraction of texts with letters swapped, left out, doubled or mistyped.'),
        symbols: fraction.describe('Fraction of texts with emoji, signs or foreign letters beside a word.'),
      })
      .describe('What is done to texts whose target stays the same.'),
    batch_tokens: count.describe('Tokens per step of a transformer, padding included.'),
    tiers: z.array(StudentTier).min(1).describe('The transformers, trained one after the other.'),
    static: z
      .strictObject({
        width: count.describe('Values of a token row; less than the space has: a matrix is between them.'),
        batch_size: count.describe('Texts per step.'),
        schedule: Schedule,
      })
      .describe('The static tier: the mean of token rows. It is trained first.'),
  })
  .meta({ title: 'DistillConfig', description: 'Configuration of stage `distill`.' });
