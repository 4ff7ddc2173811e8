// Number of texts that stage `embed_captions` embeds, from its settings and what `prepare` has counted. Pure.
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { type Counted, sum } from './form.ts';

type Embedding = NonNullable<Recipe['embed_captions']>;

/**
 * Captions with wrong ones and phrases of their pictures, prompts of classes, and of every other kind as many as the recipe allows.
 * Equal texts are embedded once and counted here as often as they come; prompts of hypernyms and halves of long descriptions, one
 * text in a hundred of the embedded recipe, are left out.
 */
export function textsToEmbed(config: Embedding, counted: Counted): number {
  const { limits, prompt_templates, hard_negatives = 0, regions } = config;
  const there = {
    groups: counted.groupCaptions,
    long: counted.long,
    translations: counted.translations,
    concepts: counted.concepts * textsOfConcept(config),
    fragments: counted.fragments,
  };
  const kinds = ['groups', 'long', 'translations', 'concepts', 'fragments'] as const;
  return sum([
    counted.captions * (1 + hard_negatives),
    counted.devCaptions,
    counted.unseenCaptions,
    regions === undefined ? 0 : counted.regions * (1 + regions.negatives),
    counted.classes * prompt_templates.length,
    ...kinds.map((kind) => Math.min(limits[kind], there[kind])),
  ]);
}

/** The bare name and what else is made of a concept, at most. */
function textsOfConcept({ concept_texts }: Embedding): number {
  const { templates, synonyms, gloss, hypernyms, descriptions } = concept_texts;
  return 1 + templates.length + synonyms + Number(gloss) + hypernyms + descriptions;
}
