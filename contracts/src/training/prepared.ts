// What `prepare` writes, part by part, and which of its settings decide each part: a stage that reads only some of them
// keeps its content address when the others change.
import type { z } from 'zod';
import { type PrepareConfig as Config, Split, TextKind } from './stages/prepare.ts';

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
