// The closed form of each stage: what it takes of machines, from the recipe and what is known besides. Pure.
import type { StageName } from '../../../../contracts/src/stages.ts';
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { type DataBytes, type Facts, type Form, NO_BATCH, type NoForm, PROCESS } from './form.ts';
import { CORE } from './rates.ts';
import { ofEvaluate, ofExport, ofStudents, ofVocabulary } from './students.ts';
import { ofClip, ofImages, ofInherit } from './towers.ts';

type FormOf = (recipe: Recipe, facts: Facts) => Form | NoForm | undefined;

/** Stages that take next to nothing have none; those with a language model have theirs in language-needs.ts. */
const FORMS: Partial<Record<StageName, FormOf>> = {
  prepare: (_, { data }) => data && ofPrepare(data),
  inherit: ({ inherit }, facts) => inherit && ofInherit(inherit, facts),
  embed_images: ({ embed_images }, facts) => embed_images && ofImages(embed_images, facts),
  clip: (recipe, facts) => recipe.clip && ofClip(recipe, recipe.clip, facts),
  vocabulary: ({ vocabulary }, facts) => vocabulary && ofVocabulary(vocabulary, facts),
  distill: ({ distill, vocabulary }, facts) =>
    distill &&
    vocabulary &&
    ofStudents(distill, { vocabulary_size: vocabulary.vocabulary_size, setting: 'distill.batch_tokens' }, facts),
  export: (recipe, facts) => recipe.export && ofExport(recipe, recipe.export, facts),
  evaluate: (recipe, facts) => recipe.evaluate && ofEvaluate(recipe, facts),
  imitate: ({ imitate }, facts) =>
    imitate &&
    ofStudents(
      imitate.student,
      { vocabulary_size: imitate.student.vocabulary_size, setting: 'imitate.student.batch_tokens' },
      facts,
    ),
};

/** The form of a stage, or why there is none; undefined for stages that take little. */
export function formOf(recipe: Recipe, stage: StageName, facts: Facts): Form | NoForm | undefined {
  return FORMS[stage]?.(recipe, facts);
}

/** Loose pictures are read by every container, tars by the one whose they are; what is written is as large. */
function ofPrepare({ all, tars, children }: DataBytes): Form {
  const read = children > 1 ? all - tars : all;
  return {
    ...NO_BATCH,
    setting: 'prepare.pairs',
    disk: read + all / children,
    host: 2 * PROCESS,
    flop: 0,
    ...(children > 1 ? { containers: children } : {}),
    reading: { seconds: all / children / CORE.bytes, cores: Number.POSITIVE_INFINITY, isMeanwhile: false },
    unknown: [],
    onDisk: (limit) => {
      if (tars < all / 2) return 'packed into tars, pictures are shared between containers';
      const enough = Math.ceil(all / (limit - (all - tars)));
      return enough > children ? `job_arrays.prepare ${Math.max(2, enough)} would fit` : undefined;
    },
  };
}
