// Closed forms of the stages with text students: vocabulary, distill, imitate, export, evaluate. From the recipe and what is counted. Pure.
import type { Recipe } from '../../../../contracts/src/training/recipe.ts';
import { type Facts, type Form, inBlocks, NO_BATCH, PROCESS, TRAINED, total, WEIGHT } from './form.ts';
import { CORE } from './rates.ts';
import { KEPT } from './tower-shapes.ts';
import { flopOfPicture } from './towers.ts';

type Distill = NonNullable<Recipe['distill']>;

/** Tokens of an entry alone with the two special ones, and of a caption (towers/student/start.py; English captions). */
const ENTRY_TOKENS = 3;
const CAPTION_TOKENS = 14;
/** Texts that a projection is fitted to, where a recipe says no others (towers/student/examples.py). */
const PROJECTION_TEXTS = 4096;
/** Second views of dev pictures that `export` embeds (towers/export/parity.py). */
const VIEWS = 500;

/** Entries, every text as tokens, and what the first transformer reads of both. */
export function ofVocabulary(config: NonNullable<Recipe['vocabulary']>, { counted }: Facts): Form {
  const { vocabulary_size, first_tier: first, projection } = config;
  const texts = projection === undefined ? 0 : (projection.projection_texts ?? PROJECTION_TEXTS);
  const tokens = ENTRY_TOKENS * vocabulary_size + CAPTION_TOKENS * texts;
  return {
    ...NO_BATCH,
    setting: 'vocabulary.vocabulary_size',
    flop: first === undefined ? 0 : 2 * inBlocks(first) * tokens,
    // In one process; a group of captions counts as one text.
    reading: { seconds: CORE.entries_seconds + (counted?.texts ?? 0) / CORE.texts, cores: 1, isMeanwhile: false },
    unknown: counted === undefined ? ['the texts, before prepare has counted them'] : [],
  };
}

/** Transformers one after the other; the largest bounds the memory. */
export function ofStudents(
  { tiers, batch_tokens }: Pick<Distill, 'tiers' | 'batch_tokens'>,
  { vocabulary_size, setting }: { vocabulary_size: number; setting: string },
  { ranks, onMachine }: Facts,
): Form {
  const forms = tiers.map((tier) => ({
    fixed: (WEIGHT + TRAINED) * (inBlocks(tier) + vocabulary_size * tier.table_width),
    each: KEPT.plain * tier.layers * tier.width,
    flop: 3 * tier.schedule.steps * batch_tokens * 2 * inBlocks(tier),
  }));
  const atOnce = Math.ceil(batch_tokens / ranks);
  const [largest = { fixed: 0, each: 0 }] = forms.toSorted((a, b) => total(b, atOnce) - total(a, atOnce));
  return {
    fixed: largest.fixed,
    each: largest.each,
    atOnce,
    setting,
    host: onMachine * (PROCESS + largest.fixed),
    flop: forms.reduce((sum, { flop }) => sum + flop, 0),
    unknown: [],
  };
}

/** Dev pictures by the exported graph, some of them by PyTorch; dev captions by every tier, some of them three times. */
export function ofExport(recipe: Recipe, { parity_samples }: NonNullable<Recipe['export']>, { counted }: Facts): Form {
  const { devImages = 0, devCaptions = 0 } = counted ?? {};
  const backbone = recipe.embed_images?.backbone ?? recipe.inherit?.backbone;
  const picture = backbone === undefined ? undefined : flopOfPicture(backbone);
  const pictures = devImages + Math.min(VIEWS, devImages);
  const compared = Math.min(parity_samples, devImages);
  const texts = devCaptions + 2 * Math.min(parity_samples, devCaptions);
  return {
    ...NO_BATCH,
    setting: 'export.parity_samples',
    flop: (pictures + compared) * (picture ?? 0) + texts * flopOfCaption(recipe),
    reading: { seconds: pictures / CORE.crops, cores: 1, isMeanwhile: false },
    unknown: [
      ...(counted === undefined ? ['what is measured on, before prepare has counted it'] : []),
      ...(picture === undefined
        ? [`the pictures by ${backbone?.name ?? 'the image tower'}, which nobody measured`]
        : []),
    ],
  };
}

/** Dev captions by every tier in PyTorch and as served; how large the dev sets are the recipe does not say. */
export function ofEvaluate(recipe: Recipe, { counted }: Facts): Form {
  const sets = recipe.evaluate?.dev_sets?.length ?? 0;
  return {
    ...NO_BATCH,
    setting: 'evaluate.dev_sets',
    flop: 2 * (counted?.devCaptions ?? 0) * flopOfCaption(recipe),
    unknown: [
      ...(counted === undefined ? ['what is measured on, before prepare has counted it'] : []),
      ...(sets === 0 ? [] : [`the ${sets} dev sets`]),
    ],
  };
}

/** Of every tier together on one caption. */
function flopOfCaption({ distill }: Recipe): number {
  return (distill?.tiers ?? []).reduce((sum, tier) => sum + 2 * CAPTION_TOKENS * inBlocks(tier), 0);
}
