// Stage `vocabulary`: what text students read: its entries, the texts as tokens, and what the first student makes of some.
import * as z from 'zod';
import { count } from '../blocks.ts';
import { DistillConfig, StudentTier } from './distill.ts';

/** What decides the entries. */
export const VocabularySettings = z.strictObject({
  vocabulary_size: count.describe('Entries of the WordPiece vocabulary.'),
  alphabet: count.describe(
    'The most frequent characters of the texts, which get entries of their own. Latin takes about a hundred, every ' +
      'further alphabet some fifty, Chinese one for each of its characters.',
  ),
  fallback: z
    .enum(['none', 'bytes'])
    .describe('How other characters are read. `none`: the word is unknown. `bytes`: as the bytes of their UTF-8.'),
});

const FirstTier = StudentTier.pick({ layers: true, width: true, heads: true, table_width: true, initial_weights: true })
  .describe(
    'The first transformer as `distill.tiers` has it, where it starts from a package. It reads every entry here, from which ' +
      'the static tier starts. Absent: it reads them in `distill`, as it does where the first weights are random.',
  )
  .meta({ title: 'FirstTier' });

const ProjectionTexts = DistillConfig.pick({
  projection_texts: true,
  context_length: true,
  mix: true,
  noise: true,
  negatives_weight: true,
})
  .describe(
    'The settings by which `distill` draws the texts that the projection of the first transformer is fitted to, copied from ' +
      'there. `first_tier` reads those texts here. Where `distill` draws others, by other settings or another seed, it reads ' +
      'them itself, with the same result. Absent: it always does.',
  )
  .meta({ title: 'ProjectionTexts' });

export const VocabularyConfig = z
  .strictObject({
    stage: z.literal('vocabulary').describe('Name of the stage.'),
    ...VocabularySettings.shape,
    characters: count
      .optional()
      .describe('Characters of texts, of every source its share, that pieces are counted in. Absent: 20,000,000.'),
    first_tier: FirstTier.optional(),
    projection: ProjectionTexts.optional(),
  })
  .meta({ title: 'VocabularyConfig', description: 'Configuration of stage `vocabulary`.' });
export type VocabularyConfig = z.infer<typeof VocabularyConfig>;

/** What the first transformer reads, if anything: it takes longer than the rest of the stage. */
export function readByFirstTier({
  first_tier,
  projection,
}: Pick<VocabularyConfig, 'first_tier' | 'projection'>): string {
  if (first_tier === undefined) return 'alone';
  return projection === undefined ? 'read' : 'read with texts';
}
