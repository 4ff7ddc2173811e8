// The parts of what `prepare` and `embed_captions` write: a stage that reads only some of them fetches no others. Of `prepare`
// also which of its settings decide each part: a stage keeps its content address when those of parts that it does not read change.
import type { z } from 'zod';
import type { ClipConfig as Clip } from './stages/clip.ts';
import { type PrepareConfig as Config, Split, TextKind } from './stages/prepare.ts';

type ClipConfig = z.infer<typeof Clip>;
type PrepareConfig = Omit<z.infer<typeof Config>, 'stage'>;

/**
 * `pairs`: the rows of images, captions and labels, of all splits. `images.SPLIT`: the tars of the images themselves.
 * `KIND.SPLIT`: texts of that kind. `fragments`: phrases of train captions.
 */
export type Part = 'pairs' | Images | 'fragments.train' | 'classes' | 'class_images' | `${TextKind}.${Split}`;
type Images = `images.${Split | 'unseen'}`;

/** `unseen`: labelled images of labels that nothing is trained on. */
export const IMAGES: readonly Images[] = ['images.train', 'images.dev', 'images.unseen'];

const TEXTS: readonly Part[] = TextKind.options.flatMap((kind) =>
  Split.options.map((split): Part => `${kind}.${split}`),
);
export const PARTS: readonly Part[] = ['pairs', ...IMAGES, 'fragments.train', 'classes', 'class_images', ...TEXTS];

/**
 * Among the digests of files by part: those that figures are measured on, which are the dev sources of `prepare`, its classes and
 * their images, and the dev sets. Of an image in both splits the dev one stays, so that train sources decide none of it.
 */
export const MEASURED_ON = 'measured_on';

/** Captions that are left out, and images, decide which phrases are frequent. */
const CAPTIONED: readonly Part[] = ['pairs', ...IMAGES, 'fragments.train'];
/** Rows say where in its tar an image is. */
const PAIRS: readonly Part[] = ['pairs', ...IMAGES];

/** Which parts each setting of `prepare` decides. A setting that has no row here does not compile. */
export const DECIDES: { readonly [Setting in keyof Required<PrepareConfig>]: readonly Part[] } = {
  pairs: CAPTIONED,
  texts: TEXTS,
  max_side: PAIRS,
  min_side: CAPTIONED,
  max_pixels: CAPTIONED,
  shard_size: PAIRS,
  keys: PAIRS,
  near_duplicates: CAPTIONED,
  languages: CAPTIONED,
  min_caption_chars: CAPTIONED,
  max_caption_chars: CAPTIONED,
  fragments: ['fragments.train'],
  classes: ['classes'],
  class_images: ['class_images'],
};

/** The settings that decide a part; of the text sources those that the part is made of. */
export function settingsOf({ texts, ...settings }: PrepareConfig, part: Part): Partial<PrepareConfig> {
  const decided = Object.entries(settings).filter(([name]) => DECIDES[name as keyof PrepareConfig].includes(part));
  const sources = texts.filter(({ kind, split }) => part === `${kind}.${split}`);
  return { ...Object.fromEntries(decided), ...(TEXTS.includes(part) ? { texts: sources } : {}) };
}

/** The settings that decide what figures are measured on. */
export function measuredSettings({ pairs, texts, fragments: _, ...settings }: PrepareConfig): Partial<PrepareConfig> {
  const isDev = ({ split }: { split: Split }): boolean => split === 'dev';
  return { ...settings, pairs: pairs.filter(isDev), texts: texts.filter(isDev) };
}

// ---- embed_captions: sets of texts and their features ----------------------------------------------------------------

/** Sets of texts, as `embed_captions` names them. `pairs.SPLIT`: captions of the images of a split. */
type TextSet =
  | `pairs.${Split | 'unseen'}`
  | 'labels'
  | 'prompts'
  | 'hypernyms'
  | 'long.dev'
  | 'negatives.train'
  | `regions.${Split}`
  | `${Exclude<TextKind, 'plain'> | 'fragments'}.train`;

/** The texts of a set, or the teachers' features of them. */
export type EmbeddedPart = `${'captions' | 'features'}.${TextSet}`;

/** The texts of these sets. */
const textsOf = (sets: readonly TextSet[]): EmbeddedPart[] => sets.map((set) => `captions.${set}` as const);

/** The texts of these sets and their features. */
const partsOf = (sets: readonly TextSet[]): EmbeddedPart[] =>
  sets.flatMap((set): EmbeddedPart[] => [`captions.${set}`, `features.${set}`]);

/** Which captions or prompts the adapter of `inherit` is regressed on. */
export function partsOfTarget(target: 'classifier_rows' | 'clip_text' | 'features'): EmbeddedPart[] {
  if (target === 'classifier_rows') return partsOf(['prompts']);
  return partsOf(target === 'features' ? ['pairs.train'] : ['pairs.train', 'groups.train', 'prompts']);
}

/** What `clip` learns from and measures itself on; the control reads the texts themselves. */
export function partsOfTowers(
  clip: Pick<ClipConfig, 'text_tower' | 'hard_negatives_weight' | 'regions'>,
): EmbeddedPart[] {
  const sets: TextSet[] = ['pairs.train', 'pairs.dev', 'prompts', 'hypernyms', 'labels', 'long.dev', 'regions.dev'];
  if ((clip.hard_negatives_weight ?? 0) > 0) sets.push('negatives.train');
  if (clip.regions !== undefined) sets.push('regions.train');
  return clip.text_tower === 'scratch' ? textsOf(sets) : partsOf(sets);
}

const SETS_OF_STUDENTS: readonly TextSet[] = [
  ...(['pairs.train', 'groups.train', 'long.train', 'fragments.train', 'prompts', 'concepts.train'] as const),
  'translations.train',
];

/** The texts that students learn from, without what the teachers say of them. */
export const PARTS_OF_VOCABULARY: readonly EmbeddedPart[] = textsOf(SETS_OF_STUDENTS);

/** What students learn from, and the captions of dev. */
export const PARTS_OF_STUDENTS: readonly EmbeddedPart[] = partsOf([...SETS_OF_STUDENTS, 'pairs.dev']);

/** What zero-shot figures are made of. */
export const PARTS_OF_PROMPTS: readonly EmbeddedPart[] = partsOf(['prompts']);
