// Checks of fractions of what a step or a picture has: rounded to whole ones, a small fraction of few would be none, and nobody told.
import { type Check, unless, where } from './check.ts';

/** Part of the table in contradictions.ts. */
export const FRACTION_CHECKS: readonly Check[] = [
  where(['mntp'], ({ mntp: { caption_share, batch_size, sampling } }) =>
    sampling === 'epochs' ? isSome('mntp.caption_share', caption_share, { batch_size }) : [],
  ),
  where(['contrastive'], ({ contrastive: { batch_size, ...fractions } }) =>
    (['concept_fraction', 'document_fraction', 'long_fraction'] as const).flatMap((key) =>
      isSome(`contrastive.${key}`, fractions[key] ?? 0, { batch_size }),
    ),
  ),
  where(['clip'], ({ clip: { labels_weight, label_fraction, batch_size } }) =>
    labels_weight > 0 ? isSome('clip.label_fraction', label_fraction, { batch_size }) : [],
  ),
  // Of streamed pictures each crop is shrunk or not by itself.
  where(['embed_images'], ({ embed_images: { low_resolution, crops, images } }) =>
    images === 'streamed' ? [] : isSome('embed_images.low_resolution', low_resolution, { crops }),
  ),
];

/** Halves are rounded to even, as Python does. */
function isSome(path: string, fraction: number, of: Record<string, number>): string[] {
  return Object.entries(of).flatMap(([name, count]) =>
    unless(
      fraction === 0 || fraction * count > 0.5,
      `${path} ${fraction} of ${name} ${count} is none of them: set it above ${0.5 / count}, or to 0`,
    ),
  );
}
